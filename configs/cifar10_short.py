"""CIFAR-10 in 10 to 15 minutes on two cores: the recipe of the nets in docs/results.md.

SGD with Nesterov momentum at batch 64, one cycle of the learning rate to 0.1, random crops and flips, label smoothing.
Any net trains with it; how many epochs fit into the time depends on the net.

python train.py --config configs/cifar10_short.py --model.name shufflenet_v2_x0_5 --epochs 10
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(name="shufflenet_v2_x0_5", dropout=0.0),
        data=DataConfig(name="cifar10"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.1, warmup=0.2, momentum=0.9, weight_decay=5e-4),
        epochs=10,
        batch_size=64,
        label_smoothing=0.1,
    )
