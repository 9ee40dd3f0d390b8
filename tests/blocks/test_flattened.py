from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import Conv
from zoo.blocks.flattened import FlattenedConv

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 9, 9, 4)), jnp.float32)


def test_it_is_the_dense_convolution_with_kernels_of_rank_1():
    flattened = FlattenedConv(4, 6, use_bias=False, rngs=nnx.Rngs(0))
    dense = Conv(4, 6, 5, use_bias=False, rngs=nnx.Rngs(0))
    lateral = flattened.lateral.kernel[0, 0]  # (inputs, outputs)
    vertical, horizontal = flattened.vertical.kernel[:, 0, 0], flattened.horizontal.kernel[0, :, 0]  # (taps, outputs)
    dense.kernel[...] = jnp.einsum("io,yo,xo->yxio", lateral, vertical, horizontal)
    np.testing.assert_allclose(flattened(X), dense(X), atol=1e-5)


def test_weights_of_the_three_filters_add_instead_of_multiplying():
    assert count_parameters(FlattenedConv(4, 6, use_bias=False, rngs=nnx.Rngs(0))) == (4 + 5 + 5) * 6
    assert count_parameters(FlattenedConv(4, 6, rngs=nnx.Rngs(0))) == (4 + 5 + 5 + 3) * 6


def test_a_chain_keeps_the_scale_of_its_input():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 16, 16, 64)), jnp.float32)
    for seed in range(2):
        x = FlattenedConv(64, 64, rngs=nnx.Rngs(seed))(x)
    assert 0.3 < x[:, 6:-6, 6:-6].std() < 3


def test_bad_channels_are_refused():
    with pytest.raises(ValueError, match="out_channels=0 must be at least 1"):
        FlattenedConv(4, 0, rngs=nnx.Rngs(0))
