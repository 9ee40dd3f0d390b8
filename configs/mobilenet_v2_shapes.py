"""MobileNetV2 on the embedded data set `shapes`: the quick start, with nothing to download.

python train.py --config configs/mobilenet_v2_shapes.py
"""

from zoo.training.config import TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(name="mobilenet_v2_shapes")
