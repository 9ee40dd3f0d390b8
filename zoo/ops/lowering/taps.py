"""The pixels that each tap of a kernel meets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry


def tap_indices(geometry: ConvGeometry) -> list[tuple[int, int]]:
    """(row, column) of each tap, in the order of the kernel."""
    kernel_height, kernel_width = geometry.kernel_size
    return [(i, j) for i in range(kernel_height) for j in range(kernel_width)]


def pad(x: jax.Array, padding: tuple[tuple[int, int], tuple[int, int]]) -> jax.Array:
    """(N, H, W, C) with ((top, bottom), (left, right)) zeros around each map; negative numbers crop."""
    (top, bottom), (left, right) = padding
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))


def shifted(padded: jax.Array, i: int, j: int, geometry: ConvGeometry) -> jax.Array:
    """The pixels that tap (i, j) meets, one per output pixel."""
    (rows, columns), (stride_h, stride_w) = geometry.output_size, geometry.strides
    top, left = i * geometry.dilation[0], j * geometry.dilation[1]
    stop = (padded.shape[0], top + (rows - 1) * stride_h + 1, left + (columns - 1) * stride_w + 1, padded.shape[3])
    return lax.slice(padded, (0, top, left, 0), stop, (1, stride_h, stride_w, 1))
