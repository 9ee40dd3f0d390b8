"""A strided convolution over maps of symbolic height and width, in a form whose gradients can be exported.

It is XLA's own. But the input gradient that `lax` writes is padded by what the strides leave over at the far edge, and
`lax` refuses a symbolic padding. So the padding, which is negative where no window reaches the edge, is made first;
the windows then fit the map exactly, and nothing is left over.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.geometry import effective_kernel_size
from zoo.ops.lowering import native
from zoo.ops.lowering.geometry import ConvGeometry


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """The convolution; `geometry.input_size` and `geometry.padding` may be symbolic.

    Where nothing tells that the kernel fits the padded map, as `h >= 7` among the constraints of
    `jax.export.symbolic_shape` does, the gradients cannot be exported.
    """
    edges = []
    for size, taps, stride, (before, after), dilation in zip(
        geometry.input_size, geometry.kernel_size, geometry.strides, geometry.padding, geometry.dilation, strict=True
    ):
        extent = effective_kernel_size(taps, dilation)
        fitting = (size + before + after - extent) // stride * stride + extent
        edges.append((before, fitting - size - before, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    _, height, width, _ = x.shape
    return native.forward(x, kernel, replace(geometry, input_size=(height, width), padding=((0, 0), (0, 0))))
