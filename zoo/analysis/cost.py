"""Parameters and multiply-accumulates of any NNX model, by tracing it: nothing is executed or allocated.

The convention: multiply-accumulates of convolutions and matrix products, for one image, each counted at its full
kernel (also where padding makes a product zero); biases, norms, activations and pooling are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from zoo.ops import force_lowering


def count_parameters(model: nnx.Module) -> int:
    """Learnable scalars of a model, which may be an abstract one from `nnx.eval_shape`."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def count_macs(model: nnx.Module, image_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a model for one image, in evaluation mode.

    Args:
        model: maps (N, *image_shape) to anything; may be an abstract one from `nnx.eval_shape`.
        image_shape: without the batch axis, such as (224, 224, 3).
    """
    graph, state = nnx.split(nnx.view(model, deterministic=True, use_running_average=True, raise_if_not_found=False))
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    with force_lowering("native"):
        traced = jax.make_jaxpr(lambda state, images: nnx.merge(graph, state, copy=True)(images))(state, images)
    return _count(traced.jaxpr)


def _count(jaxpr: Jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            total += _convolution_macs(equation)
        elif equation.primitive.name == "dot_general":
            total += _product_macs(equation)
        else:
            repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            total += repeats * sum(map(_count, _inner_jaxprs(equation.params.values())))
    return total


def _convolution_macs(equation: JaxprEqn) -> int:
    kernel, output = _shape(equation.invars[1]), _shape(equation.outvars[0])
    out_channels = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return math.prod(output) * math.prod(kernel) // out_channels


def _product_macs(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, output = _shape(equation.invars[0]), _shape(equation.outvars[0])
    return math.prod(output) * math.prod(left[axis] for axis in contracted)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _inner_jaxprs(values: Any) -> Iterator[Jaxpr]:
    for value in values:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _inner_jaxprs(value)
