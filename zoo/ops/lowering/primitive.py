"""One JAX primitive for a convolution and both its gradients.

A convolution `y = F(x, w)` is bilinear, and so are its gradients `dx = I(dy, w)` and `dw = K(x, dy)`. The three
are closed under transposition, `Fᵀ` in x is I, `Iᵀ` in w is K, and so on: with these rules in place JAX
differentiates to any order, forward and backward, and every derivative is again one of the three. Each platform
then picks its lowering when the program is lowered, so one trace serves (and exports to) every platform. A forced
lowering travels with the primitive, so that derivatives keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from zoo.lowering_names import LoweringName
from zoo.ops.lowering import native, select
from zoo.ops.lowering.geometry import ConvGeometry, Direction, Problem
from zoo.ops.lowering.select import LOWERINGS
from zoo.ops.placement import examples_of_share, sum_over_devices

_convolution = Primitive("zoo_convolution")


def convolve(
    a: jax.Array,
    b: jax.Array,
    geometry: ConvGeometry,
    direction: Direction = "forward",
    forced: LoweringName | None = None,
) -> jax.Array:
    """A convolution of NHWC activations with an HWIO kernel of the same dtype, or one of its gradients.

    Args:
        a: input; for the input gradient that of the output.
        b: kernel; for the kernel gradient the gradient of the output.
        geometry: of the convolution.
        direction: what to compute.
        forced: the lowering to take wherever it fits, here and in every derivative; None to go by the rules.
    """
    return _convolution.bind(a, b, direction=direction, geometry=geometry, forced=forced)


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


@_convolution.def_abstract_eval
def _result_type(
    a: Any, b: Any, *, direction: Direction, geometry: ConvGeometry, forced: LoweringName | None
) -> jax.core.ShapedArray:
    shapes = {
        "input": (a.shape[0], *geometry.input_size, geometry.in_channels),
        "kernel": geometry.kernel_shape,
        "output": (a.shape[0], *geometry.output_size, geometry.out_channels),
    }
    return jax.core.ShapedArray(shapes[_OPERANDS[direction].result], a.dtype, weak_type=a.weak_type and b.weak_type)


@_convolution.def_impl
def _run_eagerly(
    a: jax.Array, b: jax.Array, *, direction: Direction, geometry: ConvGeometry, forced: LoweringName | None
) -> jax.Array:
    return _compiled(direction, geometry, forced)(a, b)


@cache
def _compiled(
    direction: Direction, geometry: ConvGeometry, forced: LoweringName | None
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.jit(partial(convolve, geometry=geometry, direction=direction, forced=forced))


def _compute(
    platform: str,
    a: jax.Array,
    b: jax.Array,
    *,
    direction: Direction,
    geometry: ConvGeometry,
    forced: LoweringName | None,
) -> jax.Array:
    # A device's share of the examples is what it computes, whoever divides them.
    choice = select.select(Problem(geometry, direction, examples_of_share(a), a.dtype), platform, forced)
    function: Callable[..., jax.Array] = getattr(LOWERINGS[choice.lowering], direction)

    def compute(a: jax.Array, b: jax.Array) -> jax.Array:
        return function(a, b, geometry)

    # What is computed for each example XLA divides between devices by itself, but not a loop that sums over examples.
    return sum_over_devices(compute, a, b) if direction == "kernel_gradient" else compute(a, b)


def register_platforms() -> None:
    """Gives each platform that rules or measurements can be for a lowering of its own, and all others one."""
    for platform in (None, "cpu", "cuda", "rocm", "tpu"):
        compute = partial(_compute, platform or "any other")
        mlir.register_lowering(_convolution, mlir.lower_fun(compute, multiple_results=False), platform=platform)


register_platforms()


def _transpose(
    known: str,
    cotangent: jax.Array,
    a: jax.Array,
    b: jax.Array,
    *,
    direction: Direction,
    geometry: ConvGeometry,
    forced: LoweringName | None,
) -> jax.Array:
    """The transpose in the operand that is not `known` ("first" or "second")."""
    operands = _OPERANDS[direction]
    unknown = operands.second if known == "first" else operands.first
    values = {operands.result: cotangent, getattr(operands, known): a if known == "first" else b}
    target = _DIRECTION_TO[unknown]
    return convolve(values[_OPERANDS[target].first], values[_OPERANDS[target].second], geometry, target, forced)


ad.defbilinear(_convolution, partial(_transpose, "second"), partial(_transpose, "first"))


def _batch(
    operands: tuple[jax.Array, jax.Array],
    axes: tuple[int | None, int | None],
    *,
    direction: Direction,
    geometry: ConvGeometry,
    forced: LoweringName | None,
) -> tuple[jax.Array, int]:
    """A batch folds into the examples where the kernel is shared, otherwise into the groups."""
    a, b = operands
    if axes[1] is None and direction != "kernel_gradient":
        assert axes[0] is not None
        a = jnp.moveaxis(a, axes[0], 0)
        result = convolve(a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), b, geometry, direction, forced)
        return result.reshape(*a.shape[:2], *result.shape[1:]), 0

    size = next(x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None)
    if not isinstance(size, int) or size == 0:  # no number of groups that there could be
        compute: Callable[..., jax.Array] = getattr(native, direction)
        return jax.vmap(partial(compute, geometry=geometry), axes)(*operands), 0

    def channels_last(x: jax.Array, axis: int | None) -> jax.Array:
        x = jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        x = jnp.moveaxis(x, 0, -2)
        return x.reshape(*x.shape[:-2], size * x.shape[-1])

    a, b = (channels_last(x, axis) for x, axis in zip(operands, axes, strict=True))
    result = convolve(a, b, geometry.repeated(size), direction, forced)
    return result.reshape(*result.shape[:-1], size, result.shape[-1] // size), result.ndim - 1


batching.primitive_batchers[_convolution] = _batch
