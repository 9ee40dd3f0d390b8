"""Programs that a test runs once: compiling them is what takes the time."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from zoo.blocks.batch_norm import NumBatches
from zoo.ops import LoweringName, conv_general_dilated, force_lowering


def features_of(model: nnx.Module, images: jax.Array) -> dict[str, jax.Array]:
    """`model.features(images)`, as one program."""
    return _run(lambda model, images: model.features(images), model, images)


def output_of(model: nnx.Module, x: jax.Array) -> jax.Array:
    """`model(x)`, as one program."""
    return _run(lambda model, x: model(x), model, x)


def value_and_gradients(
    convolution: Callable[..., jax.Array], options: dict[str, Any], x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, ...]:
    """A convolution of NHWC activations, and both its gradients for a cotangent of no symmetry, as one program."""

    def function(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
        y, transpose = jax.vjp(partial(convolution, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options), x, kernel)
        return y, *transpose(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    return jax.jit(function)(x, kernel)


def assert_within_rounding(
    lowering: LoweringName,
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    options: dict[str, Any],
    tolerances: dict[str, float],
) -> None:
    """A lowering's convolution and gradients are those of `lax` in float64, but for a share of the largest number.

    Args:
        lowering: its name.
        x_shape, kernel_shape, options: of the convolution.
        tolerances: the share, for each dtype that it is computed in.
    """
    random = np.random.default_rng(0)
    x, kernel = (random.standard_normal(shape).astype("float32") for shape in (x_shape, kernel_shape))
    with jax.enable_x64(True), force_lowering(lowering):
        exact = value_and_gradients(lax.conv_general_dilated, options, x.astype("float64"), kernel.astype("float64"))
        for dtype, tolerance in tolerances.items():
            ours = value_and_gradients(conv_general_dilated, options, x.astype(dtype), kernel.astype(dtype))
            for a, b in zip(ours, exact, strict=True):
                assert a.dtype == dtype
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(initial=0))


def _run(function: Callable[[Any, jax.Array], Any], model: nnx.Module, x: jax.Array) -> Any:
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, x: function(nnx.merge(graph, state, copy=True), x))
    with force_lowering("native"):
        return run(state, x)


def randomise(model: nnx.Module) -> None:
    """Gives the variables of a model, which may be an abstract one, values that keep activations in range.

    No two channels are normalised alike.
    """
    random = np.random.default_rng(0)
    state = nnx.state(model)
    for (*_, name), variable in nnx.to_flat_state(state):
        shape = variable.shape
        if isinstance(variable, nnx.RngKey):
            variable.set_value(jax.random.key(0))
            continue
        if isinstance(variable, nnx.RngCount | NumBatches):
            values = np.zeros(shape)
        elif name == "kernel":
            values = random.standard_normal(shape) * (2 / math.prod(shape[:-1])) ** 0.5
        elif name == "var":
            values = random.uniform(0.5, 2, shape)
        elif name == "scale":
            values = random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape)
        else:
            values = random.uniform(-0.5, 0.5, shape)
        variable.set_value(jnp.asarray(values, variable.dtype))
    nnx.update(model, state)
