from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import InvertedResidual, SqueezeExcite

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 6)), jnp.float32)


def test_expands_filters_and_projects_and_adds_the_input():
    block = InvertedResidual(6, 6, expansion_ratio=4, rngs=nnx.Rngs(0))
    assert block.expand.conv.kernel.shape == (1, 1, 6, 24)
    assert block.depthwise.conv.kernel.shape == (3, 3, 1, 24)
    assert block.project.conv.kernel.shape == (1, 1, 24, 6)
    np.testing.assert_allclose(block(X), X + block.project(block.depthwise(block.expand(X))), atol=1e-6)


def test_the_bottleneck_is_linear():
    block = InvertedResidual(6, 8, rngs=nnx.Rngs(0))
    assert block.project.act is None
    assert (block(X) < 0).any()


@pytest.mark.parametrize(("out_channels", "stride", "shape"), [(8, 1, (2, 8, 8, 8)), (6, 2, (2, 4, 4, 6))])
def test_there_is_no_shortcut_where_the_shape_changes(out_channels, stride, shape):
    block = InvertedResidual(6, out_channels, stride=stride, rngs=nnx.Rngs(0))
    assert block(X).shape == shape
    block.project.norm.scale[...] = jnp.zeros(out_channels)
    np.testing.assert_array_equal(block(X), jnp.zeros(shape))


def test_expansion_ratio_1_leaves_the_expansion_out():
    block = InvertedResidual(6, 8, expansion_ratio=1, rngs=nnx.Rngs(0))
    assert block.expand is None
    assert count_parameters(block) == 9 * 6 + 2 * 6 + 6 * 8 + 2 * 8


def test_hidden_channels_need_be_no_multiple_of_the_input():
    block = InvertedResidual(6, 8, hidden_channels=15, rngs=nnx.Rngs(0))
    assert block.expand.conv.kernel.shape == (1, 1, 6, 15)
    assert InvertedResidual(6, 8, hidden_channels=6, rngs=nnx.Rngs(0)).expand is None


def test_squeeze_and_excitation_comes_behind_the_depthwise_convolution():
    squeeze = partial(SqueezeExcite, squeeze_channels=2, gate=jax.nn.hard_sigmoid)
    block = InvertedResidual(6, 8, squeeze_excite=squeeze, rngs=nnx.Rngs(0))
    assert block.squeeze_excite.gate is jax.nn.hard_sigmoid
    hidden = block.depthwise(block.expand(X))
    np.testing.assert_allclose(block(X), block.project(block.squeeze_excite(hidden)), atol=1e-5)


def test_a_bad_expansion_ratio_is_refused():
    with pytest.raises(ValueError, match="expansion_ratio=0 must be at least 1"):
        InvertedResidual(6, 6, expansion_ratio=0, rngs=nnx.Rngs(0))
