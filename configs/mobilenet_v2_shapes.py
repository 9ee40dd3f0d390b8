"""MobileNetV2 at width 0.35 on the embedded data set `shapes`: the quick start, with nothing to download.

python train.py --config configs/mobilenet_v2_shapes.py

The same as `python train.py`. Without a name, the run is called after its model and data, also after other ones.
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(name="mobilenet_v2_x0_35"),
        data=DataConfig(name="shapes"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.05, warmup=0.2, momentum=0.9, weight_decay=5e-4),
        epochs=3,
        batch_size=32,
    )
