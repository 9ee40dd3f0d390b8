"""The transposed convolution, through the same door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from zoo.ops.convolution import conv_general_dilated
from zoo.ops.geometry import effective_kernel_size

_NHWC = ("NHWC", "HWIO", "NHWC")


def conv_transpose(
    lhs: jax.Array,
    rhs: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> jax.Array:
    """`jax.lax.conv_transpose`, computed by the fastest known lowering.

    Takes the same arguments, gives the same result up to rounding, and raises the same errors. Two-dimensional
    NHWC calls get a lowering; all others go to `lax` as they are.

    Args:
        lhs: activations, shape (N, H, W, C).
        rhs: kernel, shape (kernel height, kernel width, C, out channels); with `transpose_kernel` that of the
            convolution to transpose, (kernel height, kernel width, out channels, C).
        strides: (vertical, horizontal) factor by which the map grows.
        padding: "SAME", "VALID", or the padding of the strided-out input, as for `lax`.
        rhs_dilation: dilation of the kernel.
        dimension_numbers: as for `lax`.
        transpose_kernel: turn the kernel by 180° and swap its channels, so that the result is the gradient of
            the convolution.
        precision, preferred_element_type: as for `lax`.
        use_consistent_padding: as for `lax`, to which the call is left where it is set.

    Returns:
        Shape (N, H', W', out channels), with H' = stride·H for "SAME".
    """
    is_known = (
        lhs.ndim == rhs.ndim == 4
        and dimension_numbers in (None, _NHWC)
        and len(strides) == 2
        and (not isinstance(padding, str) or padding in ("SAME", "VALID"))
        and not use_consistent_padding
    )
    if not is_known:
        return lax.conv_transpose(
            lhs,
            rhs,
            strides,
            padding,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers,
            transpose_kernel=transpose_kernel,
            precision=precision,
            preferred_element_type=preferred_element_type,
            use_consistent_padding=use_consistent_padding,
        )
    dilation = (1, 1) if rhs_dilation is None else rhs_dilation
    if isinstance(padding, str):
        extents = [effective_kernel_size(*axis) for axis in zip(rhs.shape[:2], dilation, strict=True)]
        padding = [_padding(extent, stride, padding) for extent, stride in zip(extents, strides, strict=True)]
    if transpose_kernel:
        rhs = rhs[::-1, ::-1].swapaxes(2, 3)
    return conv_general_dilated(
        lhs,
        rhs,
        (1, 1),
        padding,
        strides,
        dilation,
        _NHWC,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _padding(extent: int, stride: int, padding: str) -> tuple[int, int]:
    """Padding of the strided-out input that undoes "SAME" or "VALID" padding of the convolution."""
    if padding == "VALID":
        return extent - 1, max(extent, stride) - 1
    total = extent + stride - 2
    before = extent - 1 if stride >= extent else -(-total // 2)
    return before, total - before
