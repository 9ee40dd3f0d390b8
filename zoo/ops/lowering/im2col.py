"""A dense convolution as products of matrices: the pixels that each output reads, side by side in a row (im2col).

With the columns `X` of shape (outputs, taps·C), `y = X w`, `dw = Xᵀ dy`, and `dx` is what `dy wᵀ` adds up to where
columns overlap (col2im). Columns take as many times the memory of the input as there are taps (for each phase of the
strides), so they are made for a part of the examples at a time.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry, Direction
from zoo.ops.lowering.phases import edges_of_phases, sum_in_phases
from zoo.ops.lowering.taps import pad, shifted, tap_indices
from zoo.ops.parts import map_over_parts, number_of_parts, sum_over_parts

_FEWEST_CHANNELS: dict[Direction, int] = {"forward": 128, "input_gradient": 128, "kernel_gradient": 32}
_IMAGE_CHANNELS = 4  # at most, of the input of a stem
_FEW_PIXELS = 64  # of all outputs together


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    if geometry.groups > 1:
        return f"groups={geometry.groups} must be 1"
    return "a 1x1 kernel needs no columns, see 'pointwise'" if geometry.is_pointwise else None


def pays(geometry: ConvGeometry, direction: Direction, examples: int, dtype: np.dtype) -> bool:
    """Whether it was measured to be faster than XLA's convolution.

    With enough channels on both sides it is where there are strides, or few pixels to compute, such as of one example;
    and for the kernel gradient of a stem. A symbolic number of examples is taken for a large one.
    """
    if dtype != "float32":
        return False
    if direction == "kernel_gradient" and geometry.in_channels <= _IMAGE_CHANNELS:
        return True
    is_small = isinstance(examples, int) and examples * math.prod(geometry.output_size) <= _FEW_PIXELS
    has_channels = min(geometry.in_channels, geometry.out_channels) >= _FEWEST_CHANNELS[direction]
    return has_channels and (max(geometry.strides) > 1 or (is_small and direction == "forward"))


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    matrix = kernel.reshape(-1, geometry.out_channels)

    def of_part(x: jax.Array) -> jax.Array:
        return (_columns(x, geometry) @ matrix).reshape(x.shape[0], *geometry.output_size, geometry.out_channels)

    return map_over_parts(of_part, x, parts=number_of_parts(x.shape[0]))


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    wide = jnp.promote_types(dy.dtype, jnp.float32)
    matrix = lax.optimization_barrier(kernel.reshape(-1, geometry.out_channels).T)  # for a product of the fast form

    def of_part(dy: jax.Array) -> jax.Array:
        columns = jnp.matmul(dy.reshape(-1, geometry.out_channels), matrix, preferred_element_type=wide)
        return _sum_of_columns(columns, dy.shape[0], geometry).astype(dy.dtype)

    return map_over_parts(of_part, dy, parts=number_of_parts(dy.shape[0]))


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def of_part(x: jax.Array, dy: jax.Array) -> jax.Array:
        return _columns(x.astype(wide), geometry).T @ dy.astype(wide).reshape(-1, geometry.out_channels)

    total = sum_over_parts(of_part, x, dy, parts=number_of_parts(x.shape[0]))
    return total.reshape(geometry.kernel_shape).astype(x.dtype)


def _columns(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """(N, H, W, C) -> (N·H'·W', taps·C)."""
    # The barriers keep one pass over memory from being made part of the next, once for every tap.
    padded = lax.optimization_barrier(pad(x, geometry.padding))
    side_by_side = jnp.concatenate([shifted(padded, i, j, geometry) for i, j in tap_indices(geometry)], axis=-1)
    return lax.optimization_barrier(side_by_side).reshape(-1, geometry.taps * geometry.in_channels)


def _sum_of_columns(columns: jax.Array, examples: int, geometry: ConvGeometry) -> jax.Array:
    """(N·H'·W', taps·C) -> (N, H, W, C): the transpose of `_columns`."""
    maps = lax.optimization_barrier(columns.reshape(examples, *geometry.output_size, columns.shape[1]))
    padded = lax.optimization_barrier(pad(maps, edges_of_phases(geometry)))

    def of_tap(pixels: jax.Array, i: int, j: int) -> jax.Array:
        first = (i * geometry.kernel_size[1] + j) * geometry.in_channels
        return lax.slice_in_dim(pixels, first, first + geometry.in_channels, axis=3)

    return sum_in_phases(padded, geometry, of_tap)
