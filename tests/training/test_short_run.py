from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.data.dataset import ArraySplit, Dataset
from zoo.training.config import AugmentConfig, TrainConfig
from zoo.training.devices import Devices
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer


def striped_pictures(count: int, seed: int) -> ArraySplit:
    """Noisy 16x16 pictures of stripes, whose three directions are the classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    y, x = np.mgrid[:16, :16]
    images = np.empty((count, 16, 16, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        angle, frequency, phase = label * np.pi / 4, random.uniform(0.5, 0.9), random.uniform(0, 2 * np.pi)
        waves = np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)[..., None]
        image[:] = random.uniform(90, 160, 3) + random.uniform(30, 60) * waves + random.normal(0, 12, image.shape)
    return ArraySplit(images, labels)


@pytest.mark.slow
def test_a_short_run_is_evaluated_as_well_as_it_has_learned():
    """With a plain average of the statistics, which starts at variance 1, 57 % of the test pictures would be right."""
    train, test = striped_pictures(120, 10), striped_pictures(60, 11)
    dataset = Dataset("stripes", ("-", "/", "|"), 16, train, test, (0.5,) * 3, (0.25,) * 3)
    config = TrainConfig(epochs=7, batch_size=20, augment=AugmentConfig(crop_padding=0, flip=False))
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 42))
    model = zoo.create_model("mobilenet_v1", width=0.25, num_classes=3, small_images=True)
    trainer, state = Trainer.create(config, model, dataset, optimizer, Devices.find(1))
    state = jax.jit(trainer.train_chunk)(state, jnp.asarray(train.images), jnp.asarray(train.labels), jnp.int32(42))
    logits = jax.jit(trainer.predict)(state, jnp.asarray(test.images))
    assert state.sums.accuracy > 0.9
    assert (logits.argmax(-1) == test.labels).mean() > 0.9
