from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import ConvNormAct, DropPath
from zoo.data.dataset import ArraySplit, Dataset
from zoo.training.config import OptimizerConfig, TrainConfig
from zoo.training.devices import Devices
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer


class TinyNet(nnx.Module):
    """A model with everything that a training state holds: parameters, statistics and random keys."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = ConvNormAct(3, 8, stride=2, rngs=rngs)
        self.drop_path = DropPath(0.3, rngs=rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.drop_path(self.conv(x)).mean((1, 2))).astype(jnp.float32)


def make_split(count: int, seed: int) -> ArraySplit:
    """Images of one colour, which is their class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count).astype(np.int32)
    noise = random.integers(0, 60, (count, 8, 8, 3))
    return ArraySplit((noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset("colours", ("a", "b", "c", "d"), 8, make_split(40, 0), make_split(20, 1), (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def config() -> TrainConfig:
    return TrainConfig(epochs=4, batch_size=8, devices=1, optimizer=OptimizerConfig(learning_rate=0.1))


@pytest.fixture
def make_trainer(config, dataset):
    """A function that gives (trainer, state) of a tiny net, with fields of the config replaced."""

    def make(*, dataset=dataset, **changes):
        changed = replace(config, **changes)
        optimizer = make_optimizer(changed.optimizer, make_schedule(changed.optimizer, 20))
        model = TinyNet(nnx.Rngs(changed.seed))
        trainer, state = Trainer.create(changed, model, dataset, optimizer, Devices.find(changed.devices))
        return trainer, trainer.place(state)

    return make
