from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks.pointwise import PointwiseConv

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 4, 6)), jnp.float32)


def test_every_pixel_is_multiplied_by_the_same_matrix():
    conv = PointwiseConv(6, 8, rngs=nnx.Rngs(0))
    conv.bias[...] = jnp.arange(8.0)
    np.testing.assert_allclose(conv(X), X @ conv.kernel[0, 0] + conv.bias[...], atol=1e-5)


def test_a_stride_keeps_every_other_pixel():
    conv = PointwiseConv(6, 8, stride=2, use_bias=False, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(conv(X), X[:, ::2, ::2] @ conv.kernel[0, 0], atol=1e-5)


def test_groups_are_multiplied_apart():
    conv = PointwiseConv(6, 8, groups=2, use_bias=False, rngs=nnx.Rngs(0))
    assert conv.kernel.shape == (1, 1, 3, 8)
    kernel = conv.kernel[0, 0]
    expected = jnp.concatenate([X[..., :3] @ kernel[:, :4], X[..., 3:] @ kernel[:, 4:]], axis=-1)
    np.testing.assert_allclose(conv(X), expected, atol=1e-5)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="groups=4 does not divide in_channels=6"):
        PointwiseConv(6, 8, groups=4, rngs=nnx.Rngs(0))
