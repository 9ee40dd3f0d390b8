"""A 3×3 convolution at stride 1, dense or of wide groups, by Winograd's minimal filtering, F(m×m, 3×3) with m = 4 or 2.

m outputs of a filter w of three taps are `y = Aᵀ[(G w) ⊙ (Bᵀ x)]` of the m + 2 inputs x that they read: m + 2
multiplications instead of 3m. In two dimensions, on a tile of m×m outputs and with sums over channels,

    y = Aᵀ [ Σ_c (G w Gᵀ) ⊙ (Bᵀ x B) ] A

is (m + 2)² matrix products over channels, one for each place in the tile, over all tiles of all examples: 36 products
for 16 outputs instead of 144, or 16 for 4 instead of 36 (Winograd 1980; Lavin & Gray 2015, arXiv 1509.09308, section
4). Both gradients are of the same kind:

- input: a convolution with the kernel turned by 180° and its channels swapped.
- kernel: the transpose in w, `dw = Gᵀ [ Σ_tiles (Bᵀ x B) ⊙ (A dy Aᵀ) ] G`.

A, G and B are of Toom and Cook: polynomials evaluated at m + 1 points and at infinity. At the points 0, ±1/√2 and ±√2
F(4×4) is as exact as a direct convolution to within a factor of three; at 0, ±1 and ±2, as in the paper, it loses four
times as much. A dilation d makes d² maps of every d-th pixel, each convolved without dilation. Groups are side by side
in the same products: the channels of each are brought together before its tiles are cut, and apart again at the end.

All outputs of a tile are made of all its inputs, and what an output has nothing to do with cancels only up to rounding.
So a NaN or an infinity, which does not cancel, spreads over its tile, beyond the 3×3 neighbourhood.

Tiles take 2.25 times the memory of what they are cut from (m = 4), so they are made for a part of the examples at a
time, and anew for the kernel gradient. They are computed in float32 at least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.parts import map_over_channels, map_over_parts, not_before, sum_over_parts
from zoo.ops.placement import map_over_devices

_NARROWEST_GROUP = 16  # channels; products of fewer are hopeless
_FEWEST_TILES = 16  # of 128 channels; four of them lose
_FEWEST_CHANNELS = 64  # of the output in a part
_KERNEL_BYTES = 1e7  # of a kernel's tiles made at a time
_MOST_BYTES = 1.6e7  # of an example's tiles, for which there is no smaller part
_PART_BYTES = 7e6  # of the tiles made at a time, read and written; they stay in a core's cache


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    if geometry.groups > 1 and min(geometry.group_channels) < _NARROWEST_GROUP:
        inputs, outputs = geometry.group_channels
        return f"groups of {inputs} to {outputs} channels must have {_NARROWEST_GROUP} on either side"
    if geometry.kernel_size != (3, 3) or geometry.strides != (1, 1):
        return f"kernel_size={geometry.kernel_size} and strides={geometry.strides} must be (3, 3) and (1, 1)"
    return None


def pays(geometry: ConvGeometry, examples: int, dtype: np.dtype) -> bool:
    """Whether there are enough tiles to pay for the kernel's transformation, and an example's tiles take little memory.

    A symbolic number of examples is taken for a large one.
    """
    tiling = Tiling.of(geometry)
    is_enough = not isinstance(examples, int) or examples * tiling.per_example >= _FEWEST_TILES
    return is_enough and tiling.bytes_per_example(geometry, dtype) <= _MOST_BYTES


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    return map_over_devices(partial(_forward, geometry=geometry), x, _split_outputs(kernel, geometry.groups))


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    (top, bottom), (left, right) = geometry.padding
    vertical, horizontal = (2 * dilation for dilation in geometry.dilation)
    adjoint = replace(
        geometry,
        input_size=geometry.output_size,
        in_channels=geometry.out_channels,
        kernel_shape=(3, 3, geometry.out_channels // geometry.groups, geometry.in_channels),
        padding=((vertical - top, vertical - bottom), (horizontal - left, horizontal - right)),
    )
    turned = _split_outputs(kernel, geometry.groups)[::-1].swapaxes(2, 3)
    return map_over_devices(partial(_forward, geometry=adjoint), dy, turned)


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    tiling, groups = Tiling.of(geometry), geometry.groups
    matrices = _MATRICES[tiling.side]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    parts, channel_parts = _parts(x.shape[0], tiling, geometry, wide), _channel_parts(tiling, geometry, wide)

    def of_part(x: jax.Array, dy: jax.Array) -> jax.Array:
        x_tiles = _to_tiles(_by_group(x.astype(wide), groups), matrices.input, tiling, _before(geometry), groups)

        def of_channels(dy: jax.Array) -> jax.Array:
            dy_tiles = _to_tiles(dy.astype(wide), matrices.output, tiling, (0, 0), groups)
            products = lax.dot_general(x_tiles, dy_tiles, (((2,), (2,)), ((0, 1), (0, 1))), precision=_PRECISION)
            return _kernel_from_tiles(products, matrices.kernel, groups)

        return map_over_channels(of_channels, _by_group(dy, groups), parts=channel_parts, ready=dy)

    total = sum_over_parts(of_part, x, dy, parts=parts)
    return total.swapaxes(1, 2).reshape(geometry.kernel_shape).astype(x.dtype)


def _forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The convolution with a kernel (9, groups, C / groups, O / groups)."""
    tiling, groups = Tiling.of(geometry), geometry.groups
    matrices = _MATRICES[tiling.side]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    parts, channel_parts = _parts(x.shape[0], tiling, geometry, wide), _channel_parts(tiling, geometry, wide)
    kernel = not_before(x, kernel.astype(wide))
    if channel_parts == 1:
        kernel = lax.optimization_barrier(_kernel_to_tiles(kernel, matrices.kernel))

    def of_part(x: jax.Array) -> jax.Array:
        tiles = _to_tiles(_by_group(x.astype(wide), groups), matrices.input, tiling, _before(geometry), groups)

        def of_channels(kernel: jax.Array) -> jax.Array:
            kernel_tiles = kernel if channel_parts == 1 else _kernel_to_tiles(kernel, matrices.kernel)
            products = lax.dot_general(tiles, kernel_tiles, (((3,), (2,)), ((0, 1), (0, 1))), precision=_PRECISION)
            maps = _from_tiles(products, matrices.output, tiling, groups * x.shape[0], geometry.output_size)
            return maps.astype(x.dtype)

        maps = map_over_channels(of_channels, kernel, parts=channel_parts, ready=x)
        # Without the barrier every reader would compute the result anew.
        return lax.optimization_barrier(_from_groups(maps, groups))

    return map_over_parts(of_part, x, parts=parts)


@dataclass(frozen=True)
class Tiling:
    """How the outputs of a convolution are cut into tiles.

    Attributes:
        side: outputs along each side of a tile, m.
        counts: tiles (vertically, horizontally) in each of the maps that the dilation divides the output into.
        dilation: (vertical, horizontal).
    """

    side: int
    counts: tuple[int, int]
    dilation: tuple[int, int]

    @classmethod
    def of(cls, geometry: ConvGeometry) -> Tiling:
        """The tiling with the fewest multiplications."""

        def tiling(side: int) -> Tiling:
            height, width = (
                -(-size // (side * dilation))
                for size, dilation in zip(geometry.output_size, geometry.dilation, strict=True)
            )
            return cls(side, (height, width), geometry.dilation)

        return min(map(tiling, _MATRICES), key=lambda tiling: tiling.places * tiling.per_example)

    @property
    def places(self) -> int:
        """(m + 2)², how many numbers a tile has in each channel."""
        return (self.side + 2) ** 2

    @property
    def per_example(self) -> int:
        """How many tiles an example has."""
        return math.prod(self.counts) * math.prod(self.dilation)

    def bytes_per_example(self, geometry: ConvGeometry, dtype: np.dtype) -> int:
        """Memory of an example's tiles, of the input's and of the output's together."""
        return self.places * self.per_example * (geometry.in_channels + geometry.out_channels) * dtype.itemsize


def _parts(examples: int, tiling: Tiling, geometry: ConvGeometry, dtype: np.dtype) -> int:
    """Into how many equal parts to divide the examples: small enough, but of more tiles than channels."""
    parts = 1
    if not isinstance(examples, int):
        return parts  # a symbolic number of examples is not known to be divisible
    size = examples * tiling.bytes_per_example(geometry, dtype)
    fewest = max(geometry.in_channels, geometry.out_channels) // geometry.groups
    for more in (n for n in range(2, examples + 1) if examples % n == 0):
        if size / parts <= _PART_BYTES or examples // more * tiling.per_example < fewest:
            break
        parts = more
    return parts


def _channel_parts(tiling: Tiling, geometry: ConvGeometry, dtype: np.dtype) -> int:
    """Into how many equal parts to divide the outputs of a group, so that the kernel's tiles are small enough, too."""
    channels = geometry.out_channels // geometry.groups
    size = tiling.places * geometry.in_channels * channels * dtype.itemsize
    fitting = [parts for parts in range(1, channels + 1) if channels % parts == 0 and size <= parts * _KERNEL_BYTES]
    return next((parts for parts in fitting if channels // parts >= _FEWEST_CHANNELS), 1)


class _Matrices(NamedTuple):
    """A, G and Bᵀ of F(m, 3), with a row for each of the m + 2 places in a tile."""

    output: np.ndarray
    kernel: np.ndarray
    input: np.ndarray


def _toom_cook(points: Sequence[float]) -> _Matrices:
    """The matrices for evaluation at these m + 1 points and at infinity."""
    places, side = len(points) + 1, len(points) - 1
    output, kernel, input_ = np.zeros((places, side)), np.zeros((places, 3)), np.zeros((places, places))
    for place, point in enumerate(points):
        others = [other for other in points if other != point]
        output[place] = point ** np.arange(side)
        kernel[place] = point ** np.arange(3) / np.prod([point - other for other in others])
        input_[place, :-1] = np.polynomial.polynomial.polyfromroots(others)
    output[-1, -1] = kernel[-1, -1] = 1
    input_[-1] = np.polynomial.polynomial.polyfromroots(points)
    input_[np.abs(input_) < 1e-12] = 0  # what opposite roots leave of a zero
    return _Matrices(output, kernel, input_)


_ROOT = 2**-0.5
_MATRICES = {4: _toom_cook([0, _ROOT, -_ROOT, 2 * _ROOT, -2 * _ROOT]), 2: _toom_cook([0, 1, -1])}
_PRECISION = lax.Precision.HIGHEST  # the transforms amplify what an accelerator would round away


def _before(geometry: ConvGeometry) -> tuple[int, int]:
    (top, _), (left, _) = geometry.padding
    return top, left


def _by_group(x: jax.Array, groups: int) -> jax.Array:
    """(N, H, W, C) -> (groups·N, H, W, C / groups)."""
    examples, height, width, channels = x.shape
    grouped = jnp.moveaxis(x.reshape(examples, height, width, groups, channels // groups), 3, 0)
    return grouped.reshape(groups * examples, height, width, channels // groups)


def _from_groups(x: jax.Array, groups: int) -> jax.Array:
    """The inverse of `_by_group`."""
    maps, height, width, channels = x.shape
    together = jnp.moveaxis(x.reshape(groups, maps // groups, height, width, channels), 0, 3)
    return together.reshape(maps // groups, height, width, groups * channels)


def _split_outputs(kernel: jax.Array, groups: int) -> jax.Array:
    """(3, 3, C / groups, O) -> (9, groups, C / groups, O / groups)."""
    return kernel.reshape(9, kernel.shape[2], groups, -1).swapaxes(1, 2)


def _to_tiles(x: jax.Array, matrix: np.ndarray, tiling: Tiling, before: tuple[int, int], groups: int) -> jax.Array:
    """(groups·N, H, W, C) -> (p, p·groups, T, C): tiles of k×k pixels, m apart, times a (p, k) matrix from both sides.

    The first tile begins `before` pixels above and to the left of x; what lies outside of x is zero.
    """
    (examples, height, width, channels), (down, across) = x.shape, tiling.dilation
    places, reach = matrix.shape
    rows, columns = ((count - 1) * tiling.side + reach for count in tiling.counts)
    (top, left), bottom, right = before, rows * down - height - before[0], columns * across - width - before[1]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    x = lax.optimization_barrier(x)  # otherwise what makes x would be computed for every row anew
    x = x.reshape(examples, rows, down, columns, across, channels)
    for axis, count in zip((1, 4), tiling.counts, strict=True):  # columns are axis 3, and 4 once places are in front
        end = (count - 1) * tiling.side + 1
        pixels = [lax.slice_in_dim(x, k, k + end, tiling.side, axis) for k in range(reach)]
        # One pass over memory for each axis: XLA would compute the first anew for every place of the second.
        x = lax.optimization_barrier(jnp.stack([_combine(row, pixels) for row in matrix]))
    return x.reshape(places, places * groups, -1, channels)


def _from_tiles(
    products: jax.Array, matrix: np.ndarray, tiling: Tiling, examples: int, size: tuple[int, int]
) -> jax.Array:
    """(p, p·groups, T, C) -> (groups·N, H, W, C): each tile times a (p, m) matrix from both sides, put together."""
    (places, side), (rows, columns), (down, across) = matrix.shape, tiling.counts, tiling.dilation
    channels = products.shape[-1]
    tiles = list(products.reshape(places, places, examples, rows, down, columns, across, channels))
    half = jnp.stack([_combine(column, tiles) for column in matrix.T], 5)
    half = lax.optimization_barrier(half.reshape(places, examples, rows, down, columns * side * across, channels))
    whole = jnp.stack([_combine(column, list(half)) for column in matrix.T], 2)
    whole = whole.reshape(examples, rows * side * down, columns * side * across, channels)
    return whole[:, : size[0], : size[1]]


def _combine(weights: np.ndarray, terms: Sequence[jax.Array]) -> jax.Array:
    """Σ weight · term, without the terms whose weight is zero."""
    weighted = [(weight, term) for weight, term in zip(weights, terms, strict=True) if weight]
    first, *others = [term if weight == 1 else term * term.dtype.type(weight) for weight, term in weighted]
    return sum(others, first)


def _kernel_to_tiles(kernel: jax.Array, matrix: np.ndarray) -> jax.Array:
    """(9, groups, C, O) -> (p, p·groups, C, O): G w Gᵀ, columns first as `_to_tiles` has them."""
    places = len(matrix)
    both = np.einsum("vj,ui->vuij", matrix, matrix).reshape(places**2, 9)
    tiles = jnp.matmul(jnp.asarray(both, kernel.dtype), kernel.reshape(9, -1), precision=_PRECISION)
    return tiles.reshape(places, -1, *kernel.shape[2:])


def _kernel_from_tiles(tiles: jax.Array, matrix: np.ndarray, groups: int) -> jax.Array:
    """(p, p·groups, C, O) -> (9, groups, C, O): the transpose of `_kernel_to_tiles`."""
    places = len(matrix)
    both = np.einsum("vj,ui->ijvu", matrix, matrix).reshape(9, places**2)
    kernel = jnp.matmul(jnp.asarray(both, tiles.dtype), tiles.reshape(places**2, -1), precision=_PRECISION)
    return kernel.reshape(9, groups, *tiles.shape[2:])
