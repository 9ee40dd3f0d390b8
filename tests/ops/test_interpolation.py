from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from zoo.ops import enlarge_bilinear, resize_bilinear

RAMP = jnp.asarray([0.0, 8.0, 16.0]).reshape(1, 3, 1, 1)


def test_pixels_are_areas_that_keep_the_borders_of_the_map():
    assert resize_bilinear(RAMP, (6, 1))[0, :, 0, 0].tolist() == [0, 2, 6, 10, 14, 16]


def test_a_map_of_one_pixel_is_repeated():
    x = jnp.asarray([2.0, 3.0]).reshape(2, 1, 1, 1)
    np.testing.assert_array_equal(resize_bilinear(x, (3, 5)), np.full((2, 3, 5, 1), 1.0) * x)


@pytest.mark.parametrize("size", [17, 20, 24])
def test_pixels_are_points_whose_last_value_goes_on(size):
    expected = [min(pixel, 16) for pixel in range(size)]
    np.testing.assert_allclose(enlarge_bilinear(RAMP, 8, (size, 1))[0, :, 0, 0], expected, atol=1e-5)


def test_both_axes_are_interpolated():
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype(np.float32)
    rows = np.minimum(np.arange(14) / 4, 3)
    columns = np.minimum(np.arange(17) / 4, 4)
    by_row = np.stack(
        [[np.interp(rows, np.arange(4), x[n, :, j, c]) for j in range(5)] for n in (0, 1) for c in range(3)]
    )
    by_row = by_row.reshape(2, 3, 5, 14)
    expected = np.stack(
        [[[np.interp(columns, np.arange(5), by_row[n, c, :, i]) for c in range(3)] for i in range(14)] for n in (0, 1)]
    )
    np.testing.assert_allclose(enlarge_bilinear(jnp.asarray(x), 4, (14, 17)), expected.transpose(0, 1, 3, 2), atol=1e-5)
