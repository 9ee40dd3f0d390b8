from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks.universal_inverted_bottleneck import FusedInvertedBottleneck, UniversalInvertedBottleneck

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 6)), jnp.float32)


@pytest.mark.parametrize("middle_kernel_size", [None, 3])
@pytest.mark.parametrize("start_kernel_size", [None, 5])
def test_depthwise_convolutions_are_where_they_are_asked_for(start_kernel_size, middle_kernel_size):
    block = UniversalInvertedBottleneck(
        6, 6, 12, start_kernel_size=start_kernel_size, middle_kernel_size=middle_kernel_size, rngs=nnx.Rngs(0)
    )
    start = 0 if start_kernel_size is None else 25 * 6 + 2 * 6
    middle = 0 if middle_kernel_size is None else 9 * 12 + 2 * 12
    assert count_parameters(block) == start + 6 * 12 + 2 * 12 + middle + 12 * 6 + 2 * 6
    y = X if start_kernel_size is None else block.start(X)
    y = block.expand(y)
    y = y if middle_kernel_size is None else block.middle(y)
    np.testing.assert_allclose(block(X), X + block.project(y), atol=1e-6)


def test_first_and_last_layers_are_linear_and_those_between_are_not():
    block = UniversalInvertedBottleneck(6, 6, 12, start_kernel_size=3, rngs=nnx.Rngs(0))
    start = block.start(X)
    middle = block.middle(block.expand(start))
    assert start.min() < 0
    assert block.expand(start).min() == 0
    assert middle.min() == 0
    assert block.project(middle).min() < 0


@pytest.mark.parametrize(("middle_kernel_size", "start_stride"), [(3, 1), (None, 2)])
def test_the_first_depthwise_convolution_strides_only_where_it_is_the_last(middle_kernel_size, start_stride):
    block = UniversalInvertedBottleneck(
        6, 6, 12, stride=2, start_kernel_size=3, middle_kernel_size=middle_kernel_size, rngs=nnx.Rngs(0)
    )
    assert block.start(X).shape[1] == 8 // start_stride
    assert block(X).shape == (2, 4, 4, 6)


def test_both_depthwise_convolutions_are_dilated():
    block = UniversalInvertedBottleneck(6, 8, 12, start_kernel_size=5, dilation=2, rngs=nnx.Rngs(0))
    assert block.start.conv.kernel_dilation == block.middle.conv.kernel_dilation == 2
    assert block(X).shape == (2, 8, 8, 8)


def test_a_stride_without_depthwise_convolution_is_refused():
    with pytest.raises(ValueError, match="stride=2 needs a depthwise convolution"):
        UniversalInvertedBottleneck(6, 8, 12, stride=2, middle_kernel_size=None, rngs=nnx.Rngs(0))


def test_the_fused_block_widens_by_a_dense_convolution():
    block = FusedInvertedBottleneck(6, 6, 12, rngs=nnx.Rngs(0))
    assert count_parameters(block) == 9 * 6 * 12 + 2 * 12 + 12 * 6 + 2 * 6
    np.testing.assert_allclose(block(X), X + block.project(block.expand(X)), atol=1e-6)
    assert block.project(block.expand(X)).min() < 0


def test_the_fused_block_strides_without_a_shortcut():
    block = FusedInvertedBottleneck(6, 6, 12, 3, stride=2, rngs=nnx.Rngs(0))
    y = block(X)
    assert y.shape == (2, 4, 4, 6)
    np.testing.assert_allclose(y, block.project(block.expand(X)), atol=1e-6)
