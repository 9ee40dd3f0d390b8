from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_macs, count_parameters
from zoo.blocks import Conv, DepthwiseConv
from zoo.blocks.grouped import GroupedConv, ShuffledGroupedConv
from zoo.ops import channel_shuffle

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 7, 8)), jnp.float32)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_parameters_and_macs_are_divided_by_the_groups(groups):
    conv = GroupedConv(8, 16, groups=groups, use_bias=False, rngs=nnx.Rngs(0))
    assert count_parameters(conv) == 3 * 3 * 8 * 16 // groups
    assert count_macs(conv, (7, 7, 8)) == 7 * 7 * 3 * 3 * 8 * 16 // groups


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2}])
def test_each_group_is_a_dense_convolution(options):
    conv = GroupedConv(8, 12, groups=4, use_bias=False, rngs=nnx.Rngs(0), **options)
    alone = Conv(2, 3, use_bias=False, rngs=nnx.Rngs(0), **options)
    outputs = []
    for group in range(4):
        alone.kernel[...] = conv.kernel[..., 3 * group : 3 * group + 3]
        outputs.append(alone(X[..., 2 * group : 2 * group + 2]))
    np.testing.assert_allclose(conv(X), jnp.concatenate(outputs, axis=-1), atol=1e-5)


def test_one_group_is_dense():
    grouped, dense = GroupedConv(8, 12, 5, groups=1, rngs=nnx.Rngs(0)), Conv(8, 12, 5, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(grouped(X), dense(X))


def test_as_many_groups_as_channels_are_depthwise():
    grouped = GroupedConv(8, 24, groups=8, rngs=nnx.Rngs(0))
    depthwise = DepthwiseConv(8, depth_multiplier=3, rngs=nnx.Rngs(0))
    assert grouped.kernel.shape == (3, 3, 1, 24)
    np.testing.assert_array_equal(grouped(X), depthwise(X))


def test_the_shuffled_one_interleaves_the_groups():
    plain, shuffled = (kind(8, 12, groups=4, rngs=nnx.Rngs(0)) for kind in (GroupedConv, ShuffledGroupedConv))
    y = plain(X)
    np.testing.assert_array_equal(shuffled(X), y.reshape(2, 7, 7, 4, 3).swapaxes(3, 4).reshape(2, 7, 7, 12))
    np.testing.assert_array_equal(channel_shuffle(shuffled(X), 12 // 4), y)  # which undoes it


def test_two_shuffled_ones_mix_all_channels():
    """Without the shuffle an output would depend on its own group of the input alone."""
    first = ShuffledGroupedConv(8, 8, 1, groups=2, rngs=nnx.Rngs(0))
    second = GroupedConv(8, 8, 1, groups=2, rngs=nnx.Rngs(1))
    changed = second(first(X.at[..., 0].add(1.0))) - second(first(X))
    assert (jnp.abs(changed).max((0, 1, 2)) > 1e-4).all()
    plain = GroupedConv(8, 8, 1, groups=2, rngs=nnx.Rngs(0))
    changed = second(plain(X.at[..., 0].add(1.0))) - second(plain(X))
    np.testing.assert_array_equal(changed[..., 4:], 0)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="groups=3 does not divide in_channels=8"):
        GroupedConv(8, 12, groups=3, rngs=nnx.Rngs(0))
