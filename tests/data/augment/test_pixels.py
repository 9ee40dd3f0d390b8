from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from zoo.data import augment
from zoo.data.augment.pixels import as_pixels


def test_normalize_gives_the_declared_mean_and_deviation_of_0_and_1():
    mean, std = (0.2, 0.5, 0.6), (0.1, 0.2, 0.3)
    pixels = jnp.asarray([[[[51, 127.5, 153]]], [[[76.5, 178.5, 229.5]]]])
    np.testing.assert_allclose(augment.normalize(pixels, mean, std).reshape(2, 3), [[0] * 3, [1] * 3], atol=1e-6)


def test_integers_are_rounded_and_cut_off_and_floats_are_left():
    values = jnp.asarray([-3.0, 0.4, 0.6, 254.6, 300])
    assert as_pixels(values, jnp.dtype("uint8")).tolist() == [0, 0, 1, 255, 255]
    assert as_pixels(values, jnp.dtype("float32")) is values
