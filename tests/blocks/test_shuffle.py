from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import ShuffleUnitV2
from zoo.blocks.shuffle import ShuffleUnitV1

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 6)), jnp.float32)


def test_half_of_the_channels_pass_and_are_interleaved_with_the_filtered():
    block = ShuffleUnitV2(6, 6, rngs=nnx.Rngs(0))
    y = block(X)
    np.testing.assert_array_equal(y[..., 0::2], X[..., :3])
    np.testing.assert_allclose(y[..., 1::2], block.branch(X[..., 3:]), atol=1e-6)


def test_where_the_shape_changes_both_branches_see_all_channels():
    block = ShuffleUnitV2(6, 10, stride=2, rngs=nnx.Rngs(0))
    y = block(X)
    assert y.shape == (2, 4, 4, 10)
    np.testing.assert_allclose(y[..., 0::2], block.shortcut(X), atol=1e-6)
    np.testing.assert_allclose(y[..., 1::2], block.branch(X), atol=1e-6)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="out_channels=7 must be even"):
        ShuffleUnitV2(6, 7, rngs=nnx.Rngs(0))


def grouped_product(x, unit, groups):
    """What a grouped 1×1 `ConvNormAct` gives, group by group."""
    kernels = jnp.split(unit.conv.kernel[0, 0], groups, axis=-1)
    y = jnp.concatenate([part @ kernel for part, kernel in zip(jnp.split(x, groups, -1), kernels, strict=True)], -1)
    y = unit.norm(y)
    return y if unit.act is None else unit.act(y)


def test_the_first_unit_narrows_shuffles_filters_and_widens_in_groups():
    x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 8, 8, 24)), jnp.float32)
    block = ShuffleUnitV1(24, 24, groups=3, rngs=nnx.Rngs(0))
    hidden = grouped_product(x, block.reduce, 3)
    shuffled = hidden[..., jnp.array([0, 2, 4, 1, 3, 5])]  # the first of each group, then the second
    y = grouped_product(block.depthwise(shuffled), block.expand, 3)
    np.testing.assert_allclose(block(x), jax.nn.relu(x + y), atol=1e-5)


def test_a_strided_first_unit_puts_the_average_before_what_it_adds():
    block = ShuffleUnitV1(6, 16, groups=2, stride=2, rngs=nnx.Rngs(0))
    x = jnp.ones((2, 8, 8, 6))
    y = block(x)
    assert y.shape == (2, 4, 4, 16)
    np.testing.assert_allclose(y[:, 1:, 1:, :6], 1, atol=1e-6)
    np.testing.assert_allclose(y[:, 0, 0, :6], 4 / 9, atol=1e-6)  # beyond the border are zeros
    np.testing.assert_allclose(y[:, 0, 1, :6], 6 / 9, atol=1e-6)


def test_the_first_convolution_may_have_groups_of_its_own():
    block = ShuffleUnitV1(6, 16, groups=2, stride=2, first_groups=1, rngs=nnx.Rngs(0))
    kernels = 6 * 4 + 9 * 4 + 4 * 10 // 2
    assert count_parameters(block) == kernels + 2 * (4 + 4 + 10)


def test_a_dilated_first_unit_computes_the_strided_one_at_more_places():
    strided = nnx.Sequential(
        *[ShuffleUnitV1(a, b, groups=2, stride=2, rngs=nnx.Rngs(a)) for a, b in ((6, 16), (16, 32))]
    )
    dilated = nnx.Sequential(
        ShuffleUnitV1(6, 16, groups=2, stride=1, rngs=nnx.Rngs(6)),
        ShuffleUnitV1(16, 32, groups=2, stride=1, dilation=2, rngs=nnx.Rngs(16)),
    )
    for model in (strided, dilated):
        model.eval()
    np.testing.assert_allclose(dilated(X)[:, ::4, ::4], strided(X), atol=1e-5)


def test_channels_that_a_first_unit_cannot_split_or_keep_are_refused():
    with pytest.raises(ValueError, match="out_channels=10 must be a multiple of 4"):
        ShuffleUnitV1(6, 10, groups=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="out_channels=8 must be above in_channels=8"):
        ShuffleUnitV1(8, 8, groups=2, stride=2, rngs=nnx.Rngs(0))
