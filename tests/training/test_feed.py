from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from zoo.data.dataset import ArraySplit
from zoo.data.stream import stream
from zoo.training.config import AugmentConfig
from zoo.training.feed import Evaluator, ResidentFeed, StreamFeed
from zoo.training.loop import _make_feed


def as_list(split):
    """The same examples as a source that is not in memory."""
    return [split[index] for index in range(len(split))]


@pytest.mark.parametrize("devices", [1, 8])
def test_a_stream_trains_with_the_same_step(make_trainer, dataset, devices):
    trainer, expected = make_trainer(devices=devices)
    batches = stream(dataset.train, batch_size=8, seed=0)
    step = jax.jit(trainer.train_step, out_shardings=trainer.devices.replicated)
    for _ in range(7):
        with trainer.devices.entered():
            expected = step(expected, *trainer.devices.join(next(batches)))

    def advance(state, num_steps):
        return StreamFeed(trainer, as_list(dataset.train), state, image_size=8, workers=0).advance(state, num_steps)

    whole = advance(make_trainer(devices=devices)[1], 7)
    resumed = advance(advance(make_trainer(devices=devices)[1], 3), 4)
    for a, b, c in zip(*map(jax.tree.leaves, (whole, resumed, expected)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-6)  # of another program, which may round in another order


def test_larger_images_are_streamed_to_be_cropped(make_trainer, dataset):
    trainer, state = make_trainer(augment=AugmentConfig(random_resized_crop=0.5))
    larger = ArraySplit(dataset.train.images.repeat(2, 1).repeat(2, 2), dataset.train.labels)
    feed = _make_feed(trainer, replace(dataset, train=as_list(larger), train_image_size=16), state)
    assert int(feed.advance(state, 1).step) == 1
    feed.close()


def test_resident_data_is_trained_on_in_chunks(make_trainer, dataset):
    trainer, state = make_trainer()
    state = ResidentFeed(trainer, dataset.train, state).advance(state, 4)
    assert int(state.step) == 4


def test_evaluation_covers_the_test_set_in_order_whatever_the_batch_size(make_trainer, dataset):
    for devices, batch_size in ((1, 6), (1, 500), (8, 20), (8, 1)):  # 20 examples, which 8 devices do not divide
        trainer, state = make_trainer(devices=devices)
        expected = trainer.predict(state, dataset.test.images)
        for source in (dataset.test, as_list(dataset.test)):
            logits, labels = Evaluator(trainer, source, batch_size)(state)
            np.testing.assert_allclose(logits, expected, atol=1e-5)
            np.testing.assert_array_equal(labels, dataset.test.labels)
