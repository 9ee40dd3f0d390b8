"""Which calls of `lax.conv_general_dilated` have lowerings, and the geometry of those that have."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax import lax

from zoo.ops.geometry import effective_kernel_size
from zoo.ops.lowering.geometry import ConvGeometry, Direction
from zoo.ops.placement import is_placed_by_hand

SYMBOLIC = "height or width is symbolic"

_NHWC = lax.ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))
_DTYPES = ("bfloat16", "float16", "float32", "float64")
_MALFORMED = "malformed, as `lax` will say"

_Pads: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right))."""


class Recognised(NamedTuple):
    """A call as a convolution ("forward"), or as the adjoint of one ("input_gradient").

    Height and width of the geometry, and its padding, may be symbolic for a convolution with strides.
    """

    direction: Direction
    geometry: ConvGeometry


def recognise(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: Any = 1,
    batch_group_count: Any = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Recognised | str:
    """What a call computes; or in a few words why it is left to `lax`, be it to refuse it."""
    if not all(isinstance(array, jax.Array | np.ndarray | jax.ShapeDtypeStruct) for array in (lhs, rhs)):
        return "the operands are not arrays"
    x, kernel = jax.typeof(lhs), jax.typeof(rhs)
    if not x.ndim == kernel.ndim == 4 or lax.conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers) != _NHWC:
        return "not a two-dimensional convolution of NHWC activations with an HWIO kernel"
    if x.dtype != kernel.dtype or x.dtype.name not in _DTYPES:
        return f"no lowering for {x.dtype.name} activations with a {kernel.dtype.name} kernel"
    if is_placed_by_hand(lhs) or is_placed_by_hand(rhs) or out_sharding is not None:
        return "the arrays are placed on devices by hand"
    if batch_group_count != 1:
        return f"batch_group_count={batch_group_count}"
    if precision is not None or jax.config.jax_default_matmul_precision is not None:  # type: ignore[attr-defined]
        return "a precision is set"
    if preferred_element_type is not None and preferred_element_type != x.dtype:
        return f"preferred_element_type={preferred_element_type}"

    strides = None if window_strides is None else _steps(window_strides)
    spread, dilation = _steps(lhs_dilation), _steps(rhs_dilation)
    groups = feature_group_count
    if not (strides and spread and dilation and isinstance(groups, int | np.integer) and groups > 0):
        return _MALFORMED
    groups = int(groups)
    is_transposed = spread != (1, 1)
    if is_transposed and (strides != (1, 1) or isinstance(padding, str)):
        return "a dilated input with strides, or with padding by name"
    if not all(isinstance(size, int) for size in (x.shape[3], *kernel.shape)):
        return "the kernel's shape is symbolic"
    if 0 in (*x.shape[1:], *kernel.shape):
        return "empty"
    if kernel.shape[2] * groups != x.shape[3] or kernel.shape[3] % groups:
        return _MALFORMED
    is_symbolic = not all(isinstance(size, int) for size in x.shape[1:3])
    if is_symbolic and strides == (1, 1):
        return SYMBOLIC
    if isinstance(padding, str):
        extents = [effective_kernel_size(*axis) for axis in zip(kernel.shape[:2], dilation, strict=True)]
        vertical, horizontal = lax.padtype_to_pads(x.shape[1:3], extents, strides, padding)
        pads: _Pads | None = (vertical, horizontal)
    else:
        pads = _pairs(padding)
    if pads is None:
        return _MALFORMED
    if is_transposed:
        geometry = _adjoint_geometry(x.shape, kernel.shape, spread, pads, dilation, groups)
    else:
        geometry = ConvGeometry(x.shape[1:3], x.shape[3], kernel.shape, strides, pads, dilation, groups)
    if not is_symbolic and min(*geometry.input_size, *geometry.output_size) < 1:
        return "the result is empty"
    return Recognised("input_gradient" if is_transposed else "forward", geometry)


def _steps(values: Iterable[Any] | None) -> tuple[int, int] | None:
    """Strides or dilation as two positive integers, 1 by default; None if they are anything else."""
    try:
        steps = (1, 1) if values is None else tuple(map(operator.index, values))
    except TypeError:
        return None
    return (steps[0], steps[1]) if len(steps) == 2 and min(steps) > 0 else None


def _pairs(padding: Iterable[Any]) -> _Pads | None:
    """Padding as two pairs of integers; None if it is anything else."""
    try:
        (top, bottom), (left, right) = ((operator.index(before), operator.index(after)) for before, after in padding)
    except (TypeError, ValueError):
        return None
    return (top, bottom), (left, right)


def _adjoint_geometry(
    shape: tuple[int, int, int, int],
    kernel_shape: tuple[int, int, int, int],
    strides: tuple[int, int],
    padding: _Pads,
    dilation: tuple[int, int],
    groups: int,
) -> ConvGeometry:
    """The convolution with these strides whose input gradient the transposed convolution of a `shape` is."""
    height, width, in_width, out_channels = kernel_shape
    reach = [d * (k - 1) for d, k in zip(dilation, (height, width), strict=True)]
    rows, columns = (
        (size - 1) * stride + 1 + before + after - extent
        for size, stride, (before, after), extent in zip(shape[1:3], strides, padding, reach, strict=True)
    )
    (top, bottom), (left, right) = (
        (extent - before, extent - after) for (before, after), extent in zip(padding, reach, strict=True)
    )
    return ConvGeometry(
        input_size=(rows, columns),
        in_channels=out_channels,
        kernel_shape=(height, width, out_channels // groups, in_width * groups),
        strides=strides,
        padding=((top, bottom), (left, right)),
        dilation=dilation,
        groups=groups,
    )
