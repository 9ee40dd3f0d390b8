"""A grouped convolution as a few dense ones over block-diagonal kernels.

XLA:CPU computes a grouped kernel gradient group by group in scalar code. Packing `p` neighbouring groups of `c`
channels into one super-group, with their kernels on the diagonal of a (p·c)-wide kernel and zeros elsewhere,
costs `p` times the multiplications but makes every product a dense one of useful width. Packing wider than
needed only multiplies the zeros, so super-groups are just wide enough.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering import native, pointwise
from zoo.ops.lowering.geometry import ConvGeometry


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


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    packed = super_group_size(geometry)
    kernels = block_diagonal(kernel, geometry.groups, packed)
    supers = len(kernels)
    dense = replace(
        geometry,
        in_channels=geometry.in_channels // supers,
        kernel_shape=(*geometry.kernel_size, geometry.in_channels // supers, geometry.out_channels // supers),
        groups=1,
    )
    convolve = pointwise.forward if dense.is_pointwise else native.forward
    # lax.split transposes to one concatenation; slicing would transpose to a full-size padded sum per super-group.
    parts = lax.split(x, [dense.in_channels] * supers, axis=3)
    return jnp.concatenate([convolve(part, kernels[i], dense) for i, part in enumerate(parts)], axis=-1)
