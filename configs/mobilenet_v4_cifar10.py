"""MobileNetV4 conv small in its 32×32 form on CIFAR-10.

SGD with Nesterov momentum at batch 64, one cycle of the learning rate to 0.1, random crops and flips.

python train.py --config configs/mobilenet_v4_cifar10.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="mobilenet_v4_cifar10",
        model=ModelConfig(name="mobilenet_v4_conv_small", dropout=0.0),
        data=DataConfig(name="cifar10"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.1, warmup=0.2, momentum=0.9, weight_decay=5e-4),
        epochs=200,
        batch_size=64,
    )
