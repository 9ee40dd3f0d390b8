"""One JAX primitive for a convolution and both its gradients.

A convolution `y = F(x, w)` is bilinear, and so are its gradients `dx = I(dy, w)` and `dw = K(x, dy)`. The three
are closed under transposition, `Fᵀ` in x is I, `Iᵀ` in w is K, and so on: with these rules in place JAX
differentiates to any order, forward and backward, and every derivative is again one of the three. Each platform
then picks its lowering when the program is lowered, so one trace serves (and exports to) every platform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from zoo.ops.lowering import dense, depthwise, grouped, native, pointwise
from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.lowering.select import LoweringName, select

Direction = Literal["forward", "input_gradient", "kernel_gradient"]

_MODULES: dict[LoweringName, ModuleType] = {
    "native": native,
    "depthwise": depthwise,
    "grouped": grouped,
    "pointwise": pointwise,
    "dense": dense,
}
"""A lowering is a module with a function of two operands and the geometry for each direction."""

_TUNED_PLATFORMS = ("cpu",)

_convolution = Primitive("zoo_convolution")


def convolve(a: jax.Array, b: jax.Array, geometry: ConvGeometry, direction: Direction = "forward") -> jax.Array:
    """A convolution of NHWC activations with an HWIO kernel of the same dtype, or one of its gradients.

    Args:
        a: input; for the input gradient that of the output.
        b: kernel; for the kernel gradient the gradient of the output.
        geometry: of the convolution.
        direction: what to compute.
    """
    return _convolution.bind(a, b, direction=direction, geometry=geometry)


@dataclass(frozen=True)
class _Operands:
    """Which of (input, kernel, output) a direction takes as its two operands, and which it gives."""

    first: str
    second: str
    result: str


_OPERANDS: dict[Direction, _Operands] = {
    "forward": _Operands("input", "kernel", "output"),
    "input_gradient": _Operands("output", "kernel", "input"),
    "kernel_gradient": _Operands("input", "output", "kernel"),
}
_DIRECTION_TO: dict[str, Direction] = {operands.result: direction for direction, operands in _OPERANDS.items()}


def _compute(platform: str, a: jax.Array, b: jax.Array, *, direction: Direction, geometry: ConvGeometry) -> jax.Array:
    return getattr(_MODULES[select(geometry, platform).lowering], direction)(a, b, geometry)


@_convolution.def_abstract_eval
def _result_type(a: Any, b: Any, *, direction: Direction, geometry: ConvGeometry) -> Any:
    shapes = {
        "input": (a.shape[0], *geometry.input_size, geometry.in_channels),
        "kernel": geometry.kernel_shape,
        "output": (a.shape[0], *geometry.output_size, geometry.out_channels),
    }
    return jax.core.ShapedArray(shapes[_OPERANDS[direction].result], a.dtype)


@_convolution.def_impl
def _run_eagerly(a: jax.Array, b: jax.Array, *, direction: Direction, geometry: ConvGeometry) -> jax.Array:
    return _compiled(direction, geometry)(a, b)


@cache
def _compiled(direction: Direction, geometry: ConvGeometry) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.jit(partial(convolve, direction=direction, geometry=geometry))


mlir.register_lowering(_convolution, mlir.lower_fun(partial(_compute, "other"), multiple_results=False))
for _platform in _TUNED_PLATFORMS:
    mlir.register_lowering(
        _convolution, mlir.lower_fun(partial(_compute, _platform), multiple_results=False), platform=_platform
    )


def _transpose(
    known: str, cotangent: jax.Array, a: jax.Array, b: jax.Array, *, direction: Direction, geometry: ConvGeometry
) -> jax.Array:
    """The transpose in the operand that is not `known` ("first" or "second")."""
    operands = _OPERANDS[direction]
    unknown = operands.second if known == "first" else operands.first
    values = {operands.result: cotangent, getattr(operands, known): a if known == "first" else b}
    target = _DIRECTION_TO[unknown]
    return convolve(values[_OPERANDS[target].first], values[_OPERANDS[target].second], geometry, target)


ad.defbilinear(_convolution, partial(_transpose, "second"), partial(_transpose, "first"))


def _batch(
    operands: tuple[jax.Array, jax.Array],
    axes: tuple[int | None, int | None],
    *,
    direction: Direction,
    geometry: ConvGeometry,
) -> tuple[jax.Array, int]:
    """Batches fold into examples where the kernel is shared, else into groups."""
    a, b = operands
    if axes[1] is None and direction != "kernel_gradient":
        assert axes[0] is not None
        a = jnp.moveaxis(a, axes[0], 0)
        result = convolve(a.reshape(-1, *a.shape[2:]), b, geometry, direction)
        return result.reshape(*a.shape[:2], *result.shape[1:]), 0

    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)

    def channels_last(x: jax.Array, axis: int | None) -> jax.Array:
        x = jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        x = jnp.moveaxis(x, 0, -2)
        return x.reshape(*x.shape[:-2], -1)

    result = convolve(channels_last(a, axes[0]), channels_last(b, axes[1]), geometry.repeated(size), direction)
    return result.reshape(*result.shape[:-1], size, -1), result.ndim - 1


batching.primitive_batchers[_convolution] = _batch
