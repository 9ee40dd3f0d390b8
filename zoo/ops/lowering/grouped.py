"""A grouped convolution as a few dense ones over block-diagonal kernels.

XLA:CPU computes a grouped kernel gradient group by group in scalar code. Packing `p` neighbouring groups of `c`
channels into one super-group, with their kernels on the diagonal of a (p·c)-wide kernel and zeros elsewhere,
costs `p` times the multiplications but makes every product a dense one of useful width. Packing wider than
needed only multiplies the zeros, so super-groups are just wide enough. They are computed one after another; where
there are very many, as in the gradients of single examples, in a loop, because each makes the program longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering import dense, im2col, pointwise
from zoo.ops.lowering.geometry import ConvGeometry, Direction

_MOST_UNROLLED = 32  # super-groups, as many as ResNeXt 32x4d has; fewer at strides above 2

_Parts: TypeAlias = Sequence[jax.Array] | jax.Array
"""An array for each super-group; in a loop they are one array, whose first axis counts them."""


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    return None if geometry.groups > 1 else f"groups={geometry.groups} must be more than 1"


def super_group_size(geometry: ConvGeometry) -> int:
    """How many groups are packed into one: the least power of two that makes a super-group wide enough."""
    width = 32 if max(geometry.strides) > 1 else 16
    packed = 1
    while packed * geometry.kernel_shape[2] < width and geometry.groups % (2 * packed) == 0:
        packed *= 2
    return packed


def block_diagonal(kernel: jax.Array, groups: int, packed: int) -> jax.Array:
    """(kh, kw, C/g, O) -> (g/packed, kh, kw, packed·C/g, packed·O/g), each with `packed` blocks on its diagonal."""
    kh, kw, in_width, out_channels = kernel.shape
    supers, out_width = groups // packed, out_channels // groups
    blocks = kernel.reshape(kh, kw, in_width, supers, packed, out_width)
    diagonal = jnp.eye(packed, dtype=kernel.dtype)
    return jnp.einsum("hwispo,pq->shwpiqo", blocks, diagonal).reshape(
        supers, kh, kw, packed * in_width, packed * out_width
    )


def diagonal_blocks(kernels: jax.Array, groups: int, packed: int) -> jax.Array:
    """The transpose of `block_diagonal`: its blocks, what lies off the diagonals dropped."""
    supers, kh, kw, in_channels, out_channels = kernels.shape
    blocks = kernels.reshape(supers, kh, kw, packed, in_channels // packed, packed, out_channels // packed)
    diagonal = jnp.diagonal(blocks, axis1=3, axis2=5)
    return diagonal.transpose(1, 2, 3, 0, 5, 4).reshape(kh, kw, in_channels // packed, -1)


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    supers = _SuperGroups(geometry)
    return supers.join(supers.each("forward", supers.split(x), supers.kernels(kernel)))


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    supers = _SuperGroups(geometry)
    return supers.join(supers.each("input_gradient", supers.split(dy), supers.kernels(kernel)))


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    supers = _SuperGroups(geometry)
    gradients = supers.each("kernel_gradient", supers.split(x), supers.split(dy))
    return diagonal_blocks(jnp.stack(gradients), geometry.groups, supers.packed)


class _SuperGroups:
    """The dense convolutions, all alike, that a grouped one is made of."""

    def __init__(self, geometry: ConvGeometry) -> None:
        self.groups, self.packed = geometry.groups, super_group_size(geometry)
        self.count = geometry.groups // self.packed
        self.is_unrolled = self.count * max(1, geometry.phases // 4) <= _MOST_UNROLLED
        in_channels, out_channels = geometry.in_channels // self.count, geometry.out_channels // self.count
        self.geometry = replace(
            geometry,
            in_channels=in_channels,
            kernel_shape=(*geometry.kernel_size, in_channels, out_channels),
            groups=1,
        )

    def split(self, x: jax.Array) -> _Parts:
        """(N, H, W, C) as (N, H, W, C / count) for each super-group."""
        if self.is_unrolled:
            return jnp.split(x, self.count, axis=-1)
        return jnp.moveaxis(x.reshape(*x.shape[:-1], self.count, x.shape[-1] // self.count), -2, 0)

    def kernels(self, kernel: jax.Array) -> jax.Array:
        return block_diagonal(kernel, self.groups, self.packed)

    def each(self, direction: Direction, first: _Parts, second: _Parts) -> _Parts:
        """What a direction computes of the two operands of every super-group."""
        is_wide = im2col.pays(self.geometry, direction, first[0].shape[0], first[0].dtype)
        lowering = pointwise if self.geometry.is_pointwise else im2col if is_wide else dense
        function: Callable[..., jax.Array] = getattr(lowering, direction)
        if self.is_unrolled:
            return [function(*operands, self.geometry) for operands in zip(first, second, strict=True)]
        return lax.map(lambda operands: function(*operands, self.geometry), (first, second))

    def join(self, parts: _Parts) -> jax.Array:
        """The inverse of `split`."""
        if self.is_unrolled:
            return jnp.concatenate(parts, axis=-1)
        whole = jnp.moveaxis(jnp.asarray(parts), 0, -2)
        return whole.reshape(*whole.shape[:-2], self.count * whole.shape[-1])
