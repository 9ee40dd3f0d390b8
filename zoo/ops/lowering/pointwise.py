"""A 1×1 convolution as one matrix product over all pixels.

`y[n, i, j] = x[n, s·i, s·j] @ w`. The activations are reshaped to two dimensions first: a contraction over
(N, H, W) of the 4-D arrays, as autodiff would write the kernel gradient, makes XLA:CPU transpose all of them.
"""

from __future__ import annotations

import jax

from zoo.ops.lowering.geometry import ConvGeometry


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    vertical, horizontal = geometry.strides
    x = x[:, ::vertical, ::horizontal]
    *pixels, in_channels = x.shape
    return (x.reshape(-1, in_channels) @ kernel[0, 0]).reshape(*pixels, geometry.out_channels)
