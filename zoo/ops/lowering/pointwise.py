"""A 1×1 convolution as one matrix product over all pixels.

`y[n, i, j] = x[n, s·i, s·j] @ w`, so `dx = dy @ wᵀ`, spread out again by the stride, and `dw = xᵀ @ dy`. The
activations are reshaped to two dimensions first: a contraction over (N, H, W) of the 4-D arrays, as autodiff would
write the kernel gradient, makes XLA:CPU transpose all of them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    if geometry.groups > 1:
        return f"groups={geometry.groups} must be 1"
    if not geometry.is_pointwise:
        return f"kernel_size={geometry.kernel_size} and padding={geometry.padding} must be 1 and 0"
    return None


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    return _per_pixel(_strided(x, geometry), kernel[0, 0])


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    dx = _per_pixel(dy, lax.optimization_barrier(kernel[0, 0].T))  # transposed in memory: XLA's fast form of a product
    spread = [
        (0, size - 1 - (out - 1) * stride, stride - 1)
        for size, out, stride in zip(geometry.input_size, geometry.output_size, geometry.strides, strict=True)
    ]
    return lax.pad(dx, jnp.zeros((), dx.dtype), ((0, 0, 0), *spread, (0, 0, 0)))


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    x = _strided(x, geometry)
    return (x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1]))[None, None]


def _strided(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    return x[:, :: geometry.strides[0], :: geometry.strides[1]]


def _per_pixel(x: jax.Array, matrix: jax.Array) -> jax.Array:
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])
