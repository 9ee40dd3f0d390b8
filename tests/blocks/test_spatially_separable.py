from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import Conv
from zoo.blocks.spatially_separable import SpatiallySeparableConv

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 9, 9, 4)), jnp.float32)


@pytest.mark.parametrize("dilation", [1, 2])
def test_on_one_channel_it_is_the_dense_convolution_with_the_outer_product(dilation):
    """Sobel's kernel: a column that smooths and a row that differentiates."""
    separable = SpatiallySeparableConv(1, 1, dilation=dilation, use_bias=False, rngs=nnx.Rngs(0))
    dense = Conv(1, 1, 3, dilation=dilation, use_bias=False, rngs=nnx.Rngs(0))
    column, row = jnp.asarray([1.0, 2.0, 1.0]), jnp.asarray([-1.0, 0.0, 1.0])
    separable.vertical.kernel[...] = column[:, None, None, None]
    separable.horizontal.kernel[...] = row[None, :, None, None]
    dense.kernel[...] = jnp.outer(column, row)[..., None, None]
    np.testing.assert_allclose(separable(X[..., :1]), dense(X[..., :1]), atol=1e-5)


def test_on_many_channels_it_is_the_dense_convolution_with_the_product_over_those_between():
    separable = SpatiallySeparableConv(4, 6, rngs=nnx.Rngs(0))
    dense = Conv(4, 6, 3, rngs=nnx.Rngs(0))
    separable.horizontal.bias[...] = dense.bias[...] = jnp.arange(6.0)
    dense.kernel[...] = jnp.einsum("yim,xmo->yxio", separable.vertical.kernel[:, 0], separable.horizontal.kernel[0])
    np.testing.assert_allclose(separable(X), dense(X), atol=1e-5)


def test_it_has_6_weights_where_a_dense_one_has_9():
    separable = SpatiallySeparableConv(4, 4, use_bias=False, rngs=nnx.Rngs(0))
    assert count_parameters(separable) == 6 * 4 * 4
    assert count_parameters(SpatiallySeparableConv(4, 4, 7, rngs=nnx.Rngs(0))) == 14 * 4 * 4 + 4


def test_a_bad_kernel_size_is_refused():
    with pytest.raises(ValueError, match="kernel_size=0 must be at least 1"):
        SpatiallySeparableConv(4, 4, 0, rngs=nnx.Rngs(0))
