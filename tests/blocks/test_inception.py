from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import Conv, DepthwiseSeparableConv
from zoo.blocks.inception import Branches, ExtremeInception, InceptionModule, NaiveInceptionModule, ReducedConv

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 7, 6)), jnp.float32)


def weights(module: nnx.Module) -> int:
    """Those of the convolutions alone."""
    return sum(count_parameters(conv) - (conv.bias is not None and conv.out_features) for conv in convs(module))


def convs(module: nnx.Module) -> list[Conv]:
    return [inner for _, inner in nnx.iter_modules(module) if isinstance(inner, Conv)]


def largest_of_nine(x: jax.Array) -> jax.Array:
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    height, width = x.shape[1:3]
    shifted = [padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return jnp.max(jnp.stack(shifted), axis=0)


def test_branches_are_joined_along_the_channels_in_their_order():
    np.testing.assert_array_equal(Branches([jnp.negative, jnp.square])(X), jnp.concatenate([-X, X**2], axis=-1))


def test_a_reduction_to_32_channels_leaves_18_per_cent_of_the_weights():
    reduced = nnx.eval_shape(lambda: ReducedConv(192, 256, 32, rngs=nnx.Rngs(0)))
    dense = nnx.eval_shape(lambda: Conv(192, 256, 3, use_bias=False, rngs=nnx.Rngs(0)))
    assert weights(reduced) == 79_872
    assert weights(dense) == 442_368


def test_a_reduction_comes_first():
    module = ReducedConv(6, 5, 2, 3, rngs=nnx.Rngs(0))
    assert module.reduce.conv.kernel.shape == (1, 1, 6, 2)
    assert module.conv.conv.kernel.shape == (3, 3, 2, 5)
    np.testing.assert_array_equal(module(X), module.conv(module.reduce(X)))


def test_a_reduction_to_nothing_is_refused():
    with pytest.raises(ValueError, match="reduced_channels=0 must be at least 1"):
        ReducedConv(6, 5, 0, rngs=nnx.Rngs(0))


def test_the_naive_module_passes_all_channels_through_its_pooling():
    module = NaiveInceptionModule(6, 2, 3, 4, rngs=nnx.Rngs(0))
    y = module(X)
    assert [conv.kernel.shape for conv in convs(module)] == [(1, 1, 6, 2), (3, 3, 6, 3), (5, 5, 6, 4)]
    assert y.shape == (2, 7, 7, 2 + 3 + 4 + 6)
    np.testing.assert_array_equal(y[..., 9:], largest_of_nine(X))


def test_googlenets_first_module_has_the_weights_of_the_papers_table():
    module = nnx.eval_shape(lambda: InceptionModule(192, 64, (96, 128), (16, 32), 32, rngs=nnx.Rngs(0)))
    pointwise, conv3, conv5, pool = 192 * 64, 192 * 96 + 9 * 96 * 128, 192 * 16 + 25 * 16 * 32, 192 * 32
    assert [weights(branch) for branch in module.branches] == [pointwise, conv3, conv5, pool]
    assert sum((pointwise, conv3, conv5, pool)) == 163_328


def test_the_pooled_branch_of_a_module_pools_first():
    module = InceptionModule(6, 2, (2, 3), (2, 4), 5, rngs=nnx.Rngs(0))
    module.eval()
    y = module(X)
    assert y.shape == (2, 7, 7, 2 + 3 + 4 + 5)
    np.testing.assert_allclose(y[..., 9:], module.branches[3].layers[1](largest_of_nine(X)), atol=1e-6)


def test_the_large_convolution_can_be_smaller():
    module = InceptionModule(6, 2, (2, 3), (2, 4), 5, large_kernel_size=3, rngs=nnx.Rngs(0))
    assert module.branches[2].conv.conv.kernel.shape == (3, 3, 2, 4)


def test_extreme_inception_has_a_branch_for_every_channel():
    """The same weights as branches of a 1×1 convolution to one channel and a 3×3 one of its own."""
    extreme = ExtremeInception(6, 4, norm=None, rngs=nnx.Rngs(0))
    branches = Branches([ReducedConv(6, 1, 1, norm=None, rngs=nnx.Rngs(0)) for _ in range(4)])
    for channel, branch in enumerate(branches.branches):
        branch.reduce.conv.kernel[...] = extreme.pointwise.conv.kernel[..., channel : channel + 1]
        branch.conv.conv.kernel[...] = extreme.depthwise.conv.kernel[..., channel : channel + 1]
    np.testing.assert_allclose(extreme(X), branches(X), atol=1e-5)


def test_extreme_inception_filters_its_outputs_and_a_separable_convolution_its_inputs():
    extreme, separable = ExtremeInception(6, 4, rngs=nnx.Rngs(0)), DepthwiseSeparableConv(6, 4, rngs=nnx.Rngs(0))
    assert weights(extreme) == 6 * 4 + 9 * 4
    assert weights(separable) == 9 * 6 + 6 * 4
    assert ExtremeInception(6, 4, stride=2, rngs=nnx.Rngs(0))(X).shape == (2, 4, 4, 4)
