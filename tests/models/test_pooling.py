from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from zoo.models._pooling import adaptive_average_pool, max_pool, max_pool_at_end


@pytest.mark.parametrize(
    ("length", "size", "expected"),
    [(6, 3, [0.5, 2.5, 4.5]), (5, 3, [0.5, 2, 3.5]), (2, 3, [0, 0.5, 1]), (3, 3, [0, 1, 2])],
)
def test_adaptive_pooling_averages_pytorchs_parts(length, size, expected):
    rows = jnp.broadcast_to(jnp.arange(float(length))[None, :, None, None], (1, length, size, 1))
    np.testing.assert_allclose(adaptive_average_pool(rows, size)[0, :, 0, 0], expected)
    columns = rows.swapaxes(1, 2)
    np.testing.assert_allclose(adaptive_average_pool(columns, size)[0, 0, :, 0], expected)


def test_max_pooling_halves_and_rounds_up():
    rows = jnp.broadcast_to(jnp.arange(5.0)[None, :, None, None], (1, 5, 5, 1))
    np.testing.assert_array_equal(max_pool(rows)[0, :, 0, 0], [1, 3, 4])
    np.testing.assert_array_equal(max_pool_at_end(rows)[0, :, 0, 0], [2, 4])
    np.testing.assert_array_equal(max_pool_at_end(rows, size=2)[0, :, 0, 0], [1, 3, 4])
