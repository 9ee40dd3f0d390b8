"""LR-ASPP with a narrow MobileNetV3 labels the pixels of `scenes`.

python train.py --config configs/lraspp_scenes.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="lraspp_scenes",
        model=ModelConfig(name="lraspp_mobilenet_v3_large", width=0.35, options={"output_stride": 4}),
        data=DataConfig(name="scenes"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="adamw", learning_rate=2e-3, warmup=0.1),
        epochs=5,
        batch_size=16,
        eval_batch_size=100,
    )
