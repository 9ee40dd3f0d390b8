from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_macs, count_parameters
from zoo.blocks import Conv, DepthwiseConv, DepthwiseSeparableConv

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 7, 4)), jnp.float32)


@pytest.mark.parametrize("depth_multiplier", [1, 3])
def test_each_channel_is_convolved_by_itself(depth_multiplier):
    conv = DepthwiseConv(4, depth_multiplier=depth_multiplier, use_bias=False, rngs=nnx.Rngs(0))
    y = conv(X).reshape(2, 7, 7, 4, depth_multiplier)
    for channel in range(4):
        alone = Conv(1, depth_multiplier, use_bias=False, rngs=nnx.Rngs(0))
        first = channel * depth_multiplier
        alone.kernel[...] = conv.kernel[..., first : first + depth_multiplier]
        np.testing.assert_allclose(y[..., channel, :], alone(X[..., channel : channel + 1]), atol=1e-5)


def test_separable_is_depthwise_then_pointwise():
    block = DepthwiseSeparableConv(4, 6, stride=2, rngs=nnx.Rngs(0))
    assert block(X).shape == (2, 4, 4, 6)
    np.testing.assert_array_equal(block(X), block.pointwise(block.depthwise(X)))
    assert block.depthwise.conv.kernel.shape == (3, 3, 1, 4)
    assert block.pointwise.conv.kernel.shape == (1, 1, 4, 6)


def test_cost_is_the_papers_share_of_a_dense_convolution():
    separable = DepthwiseSeparableConv(192, 256, norm=None, act=None, rngs=nnx.Rngs(0))
    dense = Conv(192, 256, 3, rngs=nnx.Rngs(0))
    assert count_macs(separable, (28, 28, 192)) == 39_889_920
    assert count_macs(dense, (28, 28, 192)) == 346_816_512
    assert count_parameters(separable) == 9 * 192 + 192 + 192 * 256 + 256


@pytest.mark.parametrize("channels", [0, -4])
def test_bad_channels_are_refused(channels):
    with pytest.raises(ValueError, match=f"in_channels={channels} must be at least 1"):
        DepthwiseConv(channels, rngs=nnx.Rngs(0))


def test_a_bad_depth_multiplier_is_refused():
    with pytest.raises(ValueError, match="depth_multiplier=0 must be at least 1"):
        DepthwiseConv(4, depth_multiplier=0, rngs=nnx.Rngs(0))
