"""DeepLabv3 with a narrow MobileNetV2 labels the pixels of `scenes`.

python train.py --config configs/deeplab_v3_scenes.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="deeplab_v3_scenes",
        model=ModelConfig(name="deeplab_v3_mobilenet_v2", width=0.35, dropout=0.1, options={"output_stride": 4}),
        data=DataConfig(name="scenes"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="adamw", learning_rate=2e-3, warmup=0.1),
        epochs=5,
        batch_size=16,
        eval_batch_size=100,
    )
