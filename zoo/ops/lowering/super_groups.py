"""A grouped convolution as one with fewer, wider groups, for the matrix units of accelerators.

A tensor core or a systolic array multiplies by a matrix of many channels, and idles where a group has fewer. So
neighbouring groups are packed into super-groups, with their kernels on the diagonal of a wider kernel, as in
`zoo.ops.lowering.grouped`. Unlike there they are one convolution, XLA's own: it is XLA:CPU alone that computes groups
one by one. The kernel gradient is that of the wider kernel, without what lies off its diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax

from zoo.ops.lowering import native
from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.lowering.grouped import block_diagonal, diagonal_blocks


@dataclass(frozen=True)
class SuperGroups:
    """The lowering to super-groups of as many groups as fit into a width.

    Attributes:
        width: most input channels of a super-group.
    """

    width: int

    def obstacle(self, geometry: ConvGeometry) -> str | None:
        """What keeps it from computing a convolution; None where it fits."""
        if self._packed(geometry) > 1:
            return None
        return f"groups={geometry.groups} of {geometry.kernel_shape[2]} channels cannot be packed into {self.width}"

    def forward(self, x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
        return native.forward(x, self._pack(kernel, geometry), self._packed_geometry(geometry))

    def input_gradient(self, dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
        return native.input_gradient(dy, self._pack(kernel, geometry), self._packed_geometry(geometry))

    def kernel_gradient(self, x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
        gradient = native.kernel_gradient(x, dy, self._packed_geometry(geometry))
        packed = self._packed(geometry)
        *shape, out_channels = gradient.shape
        supers = geometry.groups // packed
        by_super_group = gradient.reshape(*shape, supers, out_channels // supers).transpose(3, 0, 1, 2, 4)
        return diagonal_blocks(by_super_group, geometry.groups, packed)

    def _packed(self, geometry: ConvGeometry) -> int:
        """How many groups are in a super-group: the most that fit and divide the groups."""
        most = max(1, self.width // geometry.kernel_shape[2])
        return next(packed for packed in range(min(most, geometry.groups), 0, -1) if geometry.groups % packed == 0)

    def _packed_geometry(self, geometry: ConvGeometry) -> ConvGeometry:
        height, width, in_width, out_channels = geometry.kernel_shape
        packed = self._packed(geometry)
        return replace(
            geometry, kernel_shape=(height, width, in_width * packed, out_channels), groups=geometry.groups // packed
        )

    def _pack(self, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
        blocks = block_diagonal(kernel, geometry.groups, self._packed(geometry))
        return blocks.transpose(1, 2, 3, 0, 4).reshape(self._packed_geometry(geometry).kernel_shape)
