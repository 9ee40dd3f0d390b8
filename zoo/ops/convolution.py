"""The one door to convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.lowering.primitive import convolve
from zoo.ops.lowering.select import is_native_everywhere
from zoo.ops.placement import is_placed_by_hand

_NHWC = lax.ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **options: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, computed by the fastest known lowering.

    Takes the same arguments, gives the same result up to rounding, and raises the same errors. Two-dimensional
    convolutions of NHWC activations with HWIO kernels get a lowering by platform and geometry
    (`zoo.ops.lowering.select`); everything else goes to `lax` as it is. Differentiable to any order, forward and
    backward. In Flax: `nnx.Conv(..., conv_general_dilated=zoo.ops.conv_general_dilated)`.

    Args:
        lhs: activations, shape (N, H, W, C).
        rhs: kernel, shape (kernel height, kernel width, C // groups, out channels), of the same dtype.
        window_strides: (vertical, horizontal).
        padding: "SAME", "VALID", or ((top, bottom), (left, right)).
        lhs_dilation: dilation of the input, for transposed convolutions; left to `lax` unless 1.
        rhs_dilation: dilation of the kernel.
        dimension_numbers: as for `lax`.
        feature_group_count: number of groups.
        **options: the further keyword arguments of `lax.conv_general_dilated`; any that is set is left to `lax`.

    Returns:
        Shape (N, H', W', out channels).
    """
    geometry = _geometry(lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
                         feature_group_count)  # fmt: skip
    asks_for_more = any(value not in (None, 1) for value in options.values())
    if geometry is None or asks_for_more or is_native_everywhere(geometry):
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count,
            **options,
        )
    return convolve(lhs, rhs, geometry)


def _geometry(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    dimension_numbers: Any,
    groups: int,
) -> ConvGeometry | None:
    """The convolution as a `ConvGeometry`, or None if it is not one, is empty, or is for `lax` to refuse."""
    x, kernel = jax.typeof(lhs), jax.typeof(rhs)
    if (
        x.ndim != 4
        or kernel.ndim != 4
        or x.dtype != kernel.dtype
        or not jax.numpy.issubdtype(x.dtype, jax.numpy.floating)
    ):
        return None
    if is_placed_by_hand(lhs) or is_placed_by_hand(rhs):
        return None
    if lax.conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers) != _NHWC:
        return None
    if lhs_dilation is not None and tuple(lhs_dilation) != (1, 1):
        return None
    strides, dilation = tuple(window_strides), tuple(rhs_dilation or (1, 1))
    if len(strides) != 2 or len(dilation) != 2 or min(*strides, *dilation, groups) < 1:
        return None
    if kernel.shape[2] * groups != x.shape[3] or kernel.shape[3] % groups or 0 in (*x.shape[1:], *kernel.shape):
        return None
    if isinstance(padding, str):
        effective = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[:2], strict=True)]
        padding = lax.padtype_to_pads(x.shape[1:3], effective, strides, padding)
    (top, bottom), (left, right) = padding
    geometry = ConvGeometry(
        input_size=x.shape[1:3],
        in_channels=x.shape[3],
        kernel_shape=kernel.shape,
        strides=strides,
        padding=((top, bottom), (left, right)),
        dilation=dilation,
        groups=groups,
    )
    return None if 0 in geometry.output_size else geometry
