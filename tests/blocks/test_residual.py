from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import BasicBlock, Bottleneck

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 8)), jnp.float32)


def test_a_basic_block_adds_two_convolutions_to_its_input():
    block = BasicBlock(8, 8, rngs=nnx.Rngs(0))
    assert block.shortcut is None
    np.testing.assert_allclose(block(X), jax.nn.relu(X + block.conv2(block.conv1(X))), atol=1e-6)


def test_a_bottleneck_filters_the_hidden_channels_in_groups():
    block = Bottleneck(8, 8, 4, groups=2, rngs=nnx.Rngs(0))
    assert block.filter.conv.kernel.shape == (3, 3, 2, 4)
    np.testing.assert_allclose(block(X), jax.nn.relu(X + block.expand(block.filter(block.reduce(X)))), atol=1e-6)


def test_squeeze_and_excitation_scales_what_the_3x3_convolution_gives():
    block = Bottleneck(8, 8, 4, squeeze_channels=2, rngs=nnx.Rngs(0))
    assert block.squeeze_excite.reduce.kernel.shape == (1, 1, 4, 2)
    filtered = block.filter(block.reduce(X))
    expected = jax.nn.relu(X + block.expand(block.squeeze_excite(filtered)))
    np.testing.assert_allclose(block(X), expected, atol=1e-6)
    assert not np.allclose(block(X), jax.nn.relu(X + block.expand(filtered)), atol=1e-3)


def test_resnet_50s_first_block_has_its_parameters():
    block = Bottleneck(64, 256, 64, rngs=nnx.Rngs(0))
    kernels = 64 * 64 + 9 * 64 * 64 + 64 * 256 + 64 * 256
    assert count_parameters(block) == kernels + 2 * (64 + 64 + 256 + 256)


@pytest.mark.parametrize(
    "make", [BasicBlock, lambda *args, **options: Bottleneck(args[0], args[1], 4, *args[2:], **options)]
)
@pytest.mark.parametrize(("out_channels", "stride", "shape"), [(16, 1, (2, 8, 8, 16)), (8, 2, (2, 4, 4, 8))])
def test_the_shortcut_follows_the_shape(make, out_channels, stride, shape):
    block = make(8, out_channels, stride=stride, rngs=nnx.Rngs(0))
    assert block.shortcut.conv.kernel.shape == (1, 1, 8, out_channels)
    assert block(X).shape == shape


def test_the_shortcut_is_a_convolution_where_it_is_asked_to_be():
    block = Bottleneck(8, 8, 4, project_shortcut=True, rngs=nnx.Rngs(0))
    assert block.shortcut.conv.kernel.shape == (1, 1, 8, 8)
    np.testing.assert_allclose(block(X), jax.nn.relu(block.shortcut(X) + block.residual(X)), atol=1e-6)
    assert not np.allclose(block(X), jax.nn.relu(X + block.residual(X)), atol=1e-3)


def test_a_stride_that_became_dilation_dilates_the_second_convolution_only_where_asked():
    block = BasicBlock(8, 8, dilation=2, second_dilation=4, rngs=nnx.Rngs(0))
    assert block.conv1.conv.kernel_dilation == 2
    assert block.conv2.conv.kernel_dilation == 4
    assert block(X).shape == X.shape
