"""The transposed convolution, through the same door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from zoo.ops.convolution import conv_general_dilated

_NHWC = ("NHWC", "HWIO", "NHWC")


def conv_transpose(
    lhs: jax.Array,
    rhs: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    **options: Any,
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
        **options: the further keyword arguments of `lax.conv_transpose`; any that is set is left to `lax`.

    Returns:
        Shape (N, H', W', out channels), with H' = stride·H for "SAME".
    """
    is_known = (
        lhs.ndim == rhs.ndim == 4
        and dimension_numbers in (None, _NHWC)
        and len(strides) == 2
        and (not isinstance(padding, str) or padding in ("SAME", "VALID"))
        and not any(options.values())
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
            **options,
        )
    dilation = tuple(rhs_dilation or (1, 1))
    if isinstance(padding, str):
        extents = [d * (k - 1) + 1 for d, k in zip(dilation, rhs.shape[:2], strict=True)]
        padding = [_padding(extent, stride, padding) for extent, stride in zip(extents, strides, strict=True)]
    if transpose_kernel:
        rhs = rhs[::-1, ::-1].swapaxes(2, 3)
    return conv_general_dilated(lhs, rhs, (1, 1), padding, strides, dilation, _NHWC)


def _padding(extent: int, stride: int, padding: str) -> tuple[int, int]:
    """Padding of the strided-out input that undoes "SAME" or "VALID" padding of the convolution."""
    if padding == "VALID":
        return extent - 1, max(extent, stride) - 1
    total = extent + stride - 2
    before = extent - 1 if stride >= extent else -(-total // 2)
    return before, total - before
