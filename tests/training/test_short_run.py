from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.quick import FASTEST_TO_COMPILE
from zoo.blocks import ConvNormAct, DepthwiseSeparableConv
from zoo.data.dataset import ArraySplit, Dataset
from zoo.training.config import AugmentConfig, TrainConfig
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer


class Separable(nnx.Module):
    """MobileNetV1's layers, fewer of them."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = ConvNormAct(3, 32, stride=2, rngs=rngs)
        self.blocks = nnx.List([DepthwiseSeparableConv(32, 32, rngs=rngs) for _ in range(4)])
        self.head = nnx.Linear(32, 3, kernel_init=nnx.initializers.normal(0.01), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


def striped_pictures(count: int, seed: int) -> ArraySplit:
    """Noisy 16x16 pictures of stripes; the classes are their three directions."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    y, x = np.mgrid[:16, :16]
    images = np.empty((count, 16, 16, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        angle, frequency, phase = label * np.pi / 4, random.uniform(0.5, 0.9), random.uniform(0, 2 * np.pi)
        waves = np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)[..., None]
        image[:] = random.uniform(90, 160, 3) + random.uniform(30, 60) * waves + random.normal(0, 12, image.shape)
    return ArraySplit(images, labels)


def test_a_short_run_is_evaluated_as_well_as_it_has_learned():
    """With statistics that start at mean 0 and variance 1, two thirds of the test pictures would be right."""
    train, test = striped_pictures(120, 10), striped_pictures(60, 11)
    dataset = Dataset("stripes", ("-", "/", "|"), 16, train, test, (0.5,) * 3, (0.25,) * 3)
    config = TrainConfig(epochs=7, batch_size=20, augment=AugmentConfig(crop_padding=0, flip=False))
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 42))
    trainer, state = Trainer.create(config, Separable(nnx.Rngs(0)), dataset, optimizer)
    train_chunk = jax.jit(trainer.train_chunk, compiler_options=FASTEST_TO_COMPILE)
    state = train_chunk(state, jnp.asarray(train.images), jnp.asarray(train.labels), jnp.int32(42))
    logits = jax.jit(trainer.predict, compiler_options=FASTEST_TO_COMPILE)(state, jnp.asarray(test.images))
    assert state.sums.accuracy > 0.9
    assert (logits.argmax(-1) == test.labels).mean() > 0.9
