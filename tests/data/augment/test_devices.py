"""Whoever computes an example: augmentation is the same on any number of devices, and exchanges nothing."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from zoo.analysis import exchanges
from zoo.data import augment

FUNCTIONS = {
    "random_crop": partial(augment.random_crop, padding=4),
    "random_flip": augment.random_flip,
    "random_resized_crop": partial(augment.random_resized_crop, size=12, smallest=0.2),
    "color_jitter": partial(augment.color_jitter, strength=0.5),
    "trivial_augment": augment.trivial_augment,
    "random_erasing": partial(augment.random_erasing, probability=0.5),
    "cutout": partial(augment.cutout, size=4),
    "random_scale_and_crop": lambda key, images: stacked(
        augment.random_scale_and_crop(key, images, images[..., 0], 0.5, 2.0, (1.0, 2.0, 3.0))
    ),
}


def stacked(both):
    """An image and its mask in the place of its last channel."""
    images, masks = both
    return images.at[..., 2].set(masks)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_number_of_devices_makes_no_difference(name):
    key, images = jax.random.key(3), np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    split = NamedSharding(mesh, PartitionSpec("data"))
    one = jax.jit(FUNCTIONS[name])(key, images)
    two = jax.jit(FUNCTIONS[name], in_shardings=(None, split), out_shardings=split).lower(key, images).compile()
    assert exchanges(two) == []
    np.testing.assert_array_equal(two(key, jax.device_put(images, split)), one)
    assert (np.asarray(one) != images[:, : one.shape[1], : one.shape[2]]).any()
