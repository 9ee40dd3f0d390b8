"""A small DilatedNet labels the pixels of `scenes`, drawn on the spot: some three and a half minutes on two cores.

Front end and context module learn from scratch, each by a loss of its own. The context module waits for the front end,
as in the paper: on scores that mean nothing yet it would lose channels to its ReLUs for good.

python train.py --config configs/dilatednet_scenes.py
"""

from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> TrainConfig:
    return TrainConfig(
        name="dilatednet_scenes",
        model=ModelConfig(name="dilatednet", width=0.125, dropout=0.1),
        data=DataConfig(name="scenes"),
        augment=AugmentConfig(crop_padding=4, flip=True),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=1e-2,
            warmup=0.1,
            delay={"context": 0.6},
            body_learning_rate_factor=0.2,
        ),
        epochs=6,
        batch_size=16,
        eval_batch_size=100,
        auxiliary_loss=1.0,  # what the front end learns by
    )
