"""ResNeXt-29, 2×64d, on CIFAR-10.

SGD with Nesterov momentum at batch 128, one cycle of the learning rate to 0.1, random crops and flips.

python train.py --config configs/resnext29_cifar10.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="resnext29_cifar10",
        model=ModelConfig(name="resnext29_2x64d"),
        data=DataConfig(name="cifar10"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.1, warmup=0.1, momentum=0.9, weight_decay=5e-4),
        epochs=300,
        batch_size=128,
    )
