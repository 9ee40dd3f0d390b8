"""A narrow DRN-D-22 labels the pixels of `scenes`.

python train.py --config configs/drn_seg_scenes.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="drn_seg_scenes",
        model=ModelConfig(name="drn_d_22_seg", width=0.125),
        data=DataConfig(name="scenes"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="adamw", learning_rate=1e-2, warmup=0.1),
        epochs=5,
        batch_size=16,
        eval_batch_size=100,
    )
