"""DilatedNet in its 32×32 form as a classifier on CIFAR-10: VGG-16 with batch norm, and the basic context module.

SGD with Nesterov momentum at batch 64, one cycle of the learning rate to 0.05, random crops and flips.

python train.py --config configs/dilatednet_cifar10.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="dilatednet_cifar10",
        model=ModelConfig(name="dilatednet"),
        data=DataConfig(name="cifar10"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.05, warmup=0.2, momentum=0.9, weight_decay=5e-4),
        epochs=200,
        batch_size=64,
    )
