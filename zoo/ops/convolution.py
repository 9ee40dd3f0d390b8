"""The one door to convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.lowering.primitive import Direction, convolve
from zoo.ops.lowering.select import Choice, is_native_forced, select
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
    convolutions of NHWC activations with HWIO kernels, transposed ones too, get a lowering by platform and geometry
    (`zoo.ops.lowering.select`); everything else goes to `lax` as it is. Differentiable to any order, forward and
    backward. In Flax: `nnx.Conv(..., conv_general_dilated=zoo.ops.conv_general_dilated)`.

    Args:
        lhs: activations, shape (N, H, W, C).
        rhs: kernel, shape (kernel height, kernel width, C // groups, out channels), of the same dtype.
        window_strides: (vertical, horizontal).
        padding: "SAME", "VALID", or ((top, bottom), (left, right)).
        lhs_dilation: dilation of the input, the stride of a transposed convolution; left to `lax` where
            `window_strides` are not 1.
        rhs_dilation: dilation of the kernel.
        dimension_numbers: as for `lax`.
        feature_group_count: number of groups.
        **options: the further keyword arguments of `lax.conv_general_dilated`; any that is set is left to `lax`.

    Returns:
        Shape (N, H', W', out channels).
    """
    known = _recognise(lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
                       feature_group_count, **options)  # fmt: skip
    if known is None or is_native_forced():
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
    direction, geometry = known
    kernel = rhs if direction == "forward" else _adjoint_kernel(rhs, feature_group_count)
    return convolve(lhs, kernel, geometry, direction)


def explain(
    lhs: jax.Array | jax.ShapeDtypeStruct,
    rhs: jax.Array | jax.ShapeDtypeStruct,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *args: Any,
    platform: str | None = None,
    **options: Any,
) -> Choice:
    """Which lowering `conv_general_dilated` takes for these arguments, and why.

    Args:
        lhs, rhs: arrays, or their shapes and dtypes.
        window_strides, padding, *args, **options: as for `conv_general_dilated`.
        platform: "cpu", "cuda", "rocm" or "tpu"; None for JAX's default backend.

    Returns:
        `Choice(lowering, reason)`.
    """
    if is_native_forced():
        return Choice("native", "forced")
    known = _recognise(lhs, rhs, window_strides, padding, *args, **options)
    if known is None:
        return Choice("native", "not a two-dimensional NHWC convolution of floating-point numbers, or asks for more")
    backend = platform or jax.default_backend()
    return select(known[1], "cuda" if backend == "gpu" else backend)


def _recognise(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **options: Any,
) -> tuple[Direction, ConvGeometry] | None:
    """The call as a convolution or the adjoint of one; None if it is neither, is empty, or is `lax`'s to refuse."""
    if any(value not in (None, 1) for value in options.values()):
        return None
    x, kernel = jax.typeof(lhs), jax.typeof(rhs)
    if x.ndim != 4 or kernel.ndim != 4 or x.dtype != kernel.dtype or not jnp.issubdtype(x.dtype, jnp.floating):
        return None
    if is_placed_by_hand(lhs) or is_placed_by_hand(rhs):
        return None
    if lax.conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers) != _NHWC:
        return None
    groups, strides = feature_group_count, tuple(window_strides)
    dilation, spread = tuple(rhs_dilation or (1, 1)), tuple(lhs_dilation or (1, 1))
    if not (len(strides) == len(dilation) == len(spread) == 2) or min(*strides, *dilation, *spread, groups) < 1:
        return None
    if kernel.shape[2] * groups != x.shape[3] or kernel.shape[3] % groups or 0 in (*x.shape[1:], *kernel.shape):
        return None
    is_transposed = spread != (1, 1)
    if is_transposed and (strides != (1, 1) or isinstance(padding, str)):
        return None
    effective = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[:2], strict=True)]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], effective, strides, padding)
    (top, bottom), (left, right) = padding
    if is_transposed:
        geometry = _adjoint_geometry(x.shape, kernel.shape, spread, ((top, bottom), (left, right)), dilation, groups)
    else:
        geometry = ConvGeometry(
            input_size=x.shape[1:3],
            in_channels=x.shape[3],
            kernel_shape=kernel.shape,
            strides=strides,
            padding=((top, bottom), (left, right)),
            dilation=dilation,
            groups=groups,
        )
    if min(*geometry.input_size, *geometry.output_size) < 1:
        return None
    return ("input_gradient" if is_transposed else "forward"), geometry


def _adjoint_geometry(
    shape: tuple[int, int, int, int],
    kernel_shape: tuple[int, int, int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
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


def _adjoint_kernel(kernel: jax.Array, groups: int) -> jax.Array:
    """The kernel turned by 180°, input and output channels of every group swapped."""
    height, width, in_width, out_channels = kernel.shape
    grouped = kernel[::-1, ::-1].reshape(height, width, in_width, groups, out_channels // groups)
    return grouped.transpose(0, 1, 4, 3, 2).reshape(height, width, out_channels // groups, groups * in_width)
