from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import Conv
from zoo.blocks.factorized_inception import (
    AsymmetricGridReduction,
    AsymmetricInception,
    ExpandedInception,
    FactorizedInception,
    GridReduction,
)

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 6)), jnp.float32)


def kernels(branch: nnx.Module) -> list[tuple[int, ...]]:
    """The shapes of a branch's kernels, sorted."""
    return sorted(conv.kernel.shape for _, conv in nnx.iter_modules(branch) if isinstance(conv, Conv))


def footprint(branch: nnx.Module) -> tuple[int, int]:
    """Height and width of what a branch, its weights made positive, makes of a single bright pixel."""
    for _, module in nnx.iter_modules(branch):
        if isinstance(module, Conv):
            module.kernel[...] = jnp.abs(module.kernel[...])
    bright = jnp.any(branch(jnp.zeros((1, 15, 15, 6)).at[0, 7, 7].set(1)) > 0, axis=(0, 3))
    return int(bright.any(1).sum()), int(bright.any(0).sum())


def mean_of_nine(x: jax.Array) -> jax.Array:
    """Zeros around the map are among the nine."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    shifted = [padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return jnp.mean(jnp.stack(shifted), axis=0)


def test_two_3x3_convolutions_see_as_much_as_one_5x5():
    module = FactorizedInception(6, 2, (3, 4), (5, 7), 1, rngs=nnx.Rngs(0))
    module.eval()
    assert module(X).shape == (2, 8, 8, 2 + 4 + 7 + 1)
    pointwise, conv5, double_conv3, pooled = module.branches
    assert kernels(pointwise) == [(1, 1, 6, 2)]
    assert kernels(conv5) == [(1, 1, 6, 3), (5, 5, 3, 4)]
    assert kernels(double_conv3) == [(1, 1, 6, 5), (3, 3, 5, 7), (3, 3, 7, 7)]
    assert kernels(pooled) == [(1, 1, 6, 1)]
    assert footprint(conv5) == footprint(double_conv3) == (5, 5)


def test_a_1xn_and_an_nx1_convolution_see_as_much_as_one_nxn():
    module = AsymmetricInception(6, 4, 3, 5, rngs=nnx.Rngs(0))
    module.eval()
    assert module(X).shape == (2, 8, 8, 16)
    _, single, double, _ = module.branches
    assert kernels(single) == [(1, 1, 6, 3), (1, 5, 3, 3), (5, 1, 3, 4)]
    assert kernels(double) == [(1, 1, 6, 3), (1, 5, 3, 3), (1, 5, 3, 4), (5, 1, 3, 3), (5, 1, 3, 3)]
    assert footprint(single) == (5, 5)
    assert footprint(double) == (9, 9)


def test_the_expanded_module_has_rows_beside_columns():
    module = ExpandedInception(6, 2, (3, 4), (5, 7), 1, rngs=nnx.Rngs(0))
    module.eval()
    assert module(X).shape == (2, 8, 8, 2 + 2 * 4 + 2 * 7 + 1)
    _, single, double, _ = module.branches
    assert kernels(single) == [(1, 1, 6, 3), (1, 3, 3, 4), (3, 1, 3, 4)]
    assert kernels(double) == [(1, 1, 6, 5), (1, 3, 7, 7), (3, 1, 7, 7), (3, 3, 5, 7)]
    reduce, row_and_column = single.layers
    row, column = row_and_column.branches
    assert footprint(nnx.Sequential(reduce, row)) == (1, 3)
    assert footprint(nnx.Sequential(reduce, column)) == (3, 1)


@pytest.mark.parametrize(
    "module",
    [
        FactorizedInception(6, 2, (2, 2), (2, 2), 2, rngs=nnx.Rngs(0)),
        AsymmetricInception(6, 2, 2, 3, rngs=nnx.Rngs(0)),
        ExpandedInception(6, 2, (2, 1), (2, 1), 2, rngs=nnx.Rngs(0)),
    ],
)
def test_the_pooled_branch_averages_first(module):
    module.eval()
    _, project = module.branches[3].layers
    np.testing.assert_allclose(module(X)[..., -2:], project(mean_of_nine(X)), atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: GridReduction(6, 4, (2, 3), rngs=nnx.Rngs(0), **options),
        lambda **options: AsymmetricGridReduction(6, (2, 4), 3, 3, rngs=nnx.Rngs(0), **options),
    ],
)
def test_grid_reductions_halve_the_map_and_keep_the_pooled_input(make):
    whole = make()(X)
    assert whole.shape == (2, 3, 3, 4 + 3 + 6)
    blocks = [X[:, row : row + 5 : 2, column : column + 5 : 2] for row in range(3) for column in range(3)]
    np.testing.assert_array_equal(whole[..., 7:], jnp.max(jnp.stack(blocks), axis=0))
    assert make(padding=1)(X).shape == (2, 4, 4, 4 + 3 + 6)


def test_the_second_reduction_has_rows_and_columns_in_front_of_its_stride():
    strided, asymmetric, _ = AsymmetricGridReduction(6, (2, 4), 3, rngs=nnx.Rngs(0)).branches
    assert kernels(strided) == [(1, 1, 6, 2), (3, 3, 2, 4)]
    assert kernels(asymmetric) == [(1, 1, 6, 3), (1, 7, 3, 3), (3, 3, 3, 3), (7, 1, 3, 3)]


def test_a_bad_number_is_refused():
    with pytest.raises(ValueError, match="padding=-1 must be at least 0"):
        GridReduction(6, 4, (2, 3), padding=-1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="reduced_channels=0 must be at least 1"):
        FactorizedInception(6, 2, (0, 4), (5, 7), 1, rngs=nnx.Rngs(0))
