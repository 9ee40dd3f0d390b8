from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from zoo.analysis.cost import count_macs, count_parameters
from zoo.blocks import Conv


@pytest.mark.parametrize(
    ("conv", "macs"),
    [
        (lambda: Conv(8, 16, 3, rngs=nnx.Rngs(0)), 10 * 10 * 9 * 8 * 16),
        (lambda: Conv(8, 16, 3, stride=2, groups=4, rngs=nnx.Rngs(0)), 5 * 5 * 9 * 2 * 16),
        (lambda: Conv(8, 8, 5, groups=8, rngs=nnx.Rngs(0)), 10 * 10 * 25 * 8),
        (lambda: Conv(8, 16, 1, rngs=nnx.Rngs(0)), 10 * 10 * 8 * 16),
        (lambda: nnx.Linear(8, 5, rngs=nnx.Rngs(0)), 10 * 10 * 8 * 5),
    ],
    ids=["dense", "grouped", "depthwise", "pointwise", "linear"],
)
def test_macs_by_hand(conv, macs):
    assert count_macs(conv(), (10, 10, 8)) == macs
    assert count_macs(nnx.eval_shape(conv), (10, 10, 8)) == macs


def test_loops_and_compiled_functions_are_looked_into():
    class Repeated(nnx.Module):
        def __init__(self) -> None:
            self.kernel = nnx.Param(jnp.zeros((8, 8)))

        def __call__(self, x):
            step = jax.checkpoint(lambda x: x @ self.kernel[...])
            return jax.lax.fori_loop(0, 3, lambda _, x: step(x), jax.jit(step)(x))

    assert count_macs(Repeated(), (8,)) == 4 * 64


def test_parameters_are_what_is_learned():
    model = nnx.BatchNorm(6, rngs=nnx.Rngs(0))  # two learned vectors, two running ones
    assert count_parameters(model) == 12


def test_counting_leaves_the_mode_alone():
    model = nnx.BatchNorm(8, rngs=nnx.Rngs(0))
    count_macs(model, (4, 4, 8))
    assert model.use_running_average is False
