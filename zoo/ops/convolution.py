"""The one door to convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import jax
from jax import lax

from zoo.ops.lowering import symbolic
from zoo.ops.lowering.geometry import Direction, Problem
from zoo.ops.lowering.measured import default_platform
from zoo.ops.lowering.primitive import convolve
from zoo.ops.lowering.recognise import SYMBOLIC, Recognised, recognise
from zoo.ops.lowering.select import Choice, forced_lowering, select

_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_OF_TRANSPOSED: dict[Direction, Direction] = {
    "forward": "input_gradient",
    "input_gradient": "forward",
    "kernel_gradient": "kernel_gradient",
}
"""What a transposed convolution, and its gradients, are to the convolution that it transposes."""


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, computed by the fastest known lowering.

    Takes the same arguments, gives the same result up to rounding, and raises the same errors. Two-dimensional
    convolutions of NHWC activations with HWIO kernels, transposed ones too, get a lowering by what they compute and
    where (`zoo.ops.lowering.select`); everything else goes to `lax` as it is, and `explain` says why. Differentiable
    to any order, forward and backward. The number of examples may be symbolic (`jax.export`), and so may height and
    width, at XLA's own speed. In Flax: `nnx.Conv(..., conv_general_dilated=zoo.ops.conv_general_dilated)`.

    Args:
        lhs: activations, shape (N, H, W, C).
        rhs: kernel, shape (kernel height, kernel width, C // groups, out channels), of the same dtype.
        window_strides: (vertical, horizontal).
        padding: "SAME", "SAME_LOWER", "VALID", or ((top, bottom), (left, right)).
        lhs_dilation: dilation of the input, the stride of a transposed convolution; left to `lax` where
            `window_strides` are not 1.
        rhs_dilation: dilation of the kernel.
        dimension_numbers: as for `lax`.
        feature_group_count: number of groups.
        batch_group_count, precision, preferred_element_type, out_sharding: as for `lax`, to which the call is left
            where one of them is set; a preferred element type that is the operands' own changes nothing.

    Returns:
        Shape (N, H', W', out channels).
    """
    arguments = (lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
                 batch_group_count, precision, preferred_element_type, out_sharding)  # fmt: skip
    forced = forced_lowering()
    call = None if forced == "native" else recognise(*arguments)
    if not isinstance(call, Recognised):
        return lax.conv_general_dilated(*arguments)
    if not call.geometry.is_static:
        return symbolic.forward(lhs, rhs, call.geometry)
    kernel = rhs if call.direction == "forward" else _adjoint_kernel(rhs, feature_group_count)
    return convolve(lhs, kernel, call.geometry, call.direction, forced)


def explain(
    lhs: jax.Array | jax.ShapeDtypeStruct,
    rhs: jax.Array | jax.ShapeDtypeStruct,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *args: Any,
    platform: str | None = None,
    direction: Direction = "forward",
    **options: Any,
) -> Choice:
    """Which lowering `conv_general_dilated` takes for these arguments, and why.

    Args:
        lhs, rhs: arrays, or their shapes and dtypes.
        window_strides, padding, *args, **options: as for `conv_general_dilated`.
        platform: "cpu", "cuda", "rocm" or "tpu"; None for JAX's default backend.
        direction: "forward" for the call itself, "input_gradient" or "kernel_gradient" for its gradient in `lhs` or in
            `rhs`.

    Returns:
        `Choice(lowering, reason)`.

    Raises:
        ValueError: if there is no such direction.
    """
    if direction not in _DIRECTIONS:
        raise ValueError(f"unknown direction {direction!r}; there are {', '.join(_DIRECTIONS)}")
    forced = forced_lowering()
    if forced == "native":
        return Choice("native", "forced")
    call = recognise(lhs, rhs, window_strides, padding, *args, **options)
    if isinstance(call, str):
        return Choice("native", call)
    if not call.geometry.is_static:
        return Choice("native", SYMBOLIC)
    if call.direction == "input_gradient":
        direction = _OF_TRANSPOSED[direction]
    x = jax.typeof(lhs)
    platform = default_platform() if platform in (None, "gpu") else platform
    return select(Problem(call.geometry, direction, x.shape[0], x.dtype), platform, forced)


def _adjoint_kernel(kernel: jax.Array, groups: int) -> jax.Array:
    """The kernel turned by 180°, input and output channels of every group swapped."""
    height, width, in_width, out_channels = kernel.shape
    grouped = kernel[::-1, ::-1].reshape(height, width, in_width, groups, out_channels // groups)
    return grouped.transpose(0, 1, 4, 3, 2).reshape(height, width, out_channels // groups, groups * in_width)
