from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import ShuffleUnitV2

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 6)), jnp.float32)


def test_half_of_the_channels_pass_and_are_interleaved_with_the_filtered():
    block = ShuffleUnitV2(6, 6, rngs=nnx.Rngs(0))
    y = block(X)
    np.testing.assert_array_equal(y[..., 0::2], X[..., :3])
    np.testing.assert_allclose(y[..., 1::2], block.branch(X[..., 3:]), atol=1e-6)


def test_where_the_shape_changes_both_branches_see_all_channels():
    block = ShuffleUnitV2(6, 10, 2, rngs=nnx.Rngs(0))
    y = block(X)
    assert y.shape == (2, 4, 4, 10)
    np.testing.assert_allclose(y[..., 0::2], block.shortcut(X), atol=1e-6)
    np.testing.assert_allclose(y[..., 1::2], block.branch(X), atol=1e-6)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="out_channels=7 must be even"):
        ShuffleUnitV2(6, 7, rngs=nnx.Rngs(0))
