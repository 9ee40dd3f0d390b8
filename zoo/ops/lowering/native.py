"""The convolution as XLA itself computes it, its gradients as JAX's autodiff writes them."""

from __future__ import annotations

import jax
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry


def obstacle(geometry: ConvGeometry) -> None:
    """None: it fits every convolution."""


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        geometry.strides,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=geometry.groups,
    )


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    x = jax.ShapeDtypeStruct((dy.shape[0], *geometry.input_size, geometry.in_channels), dy.dtype)
    (dx,) = jax.linear_transpose(lambda x: forward(x, kernel, geometry), x)(dy)
    return dx


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    kernel = jax.ShapeDtypeStruct(geometry.kernel_shape, x.dtype)
    (gradient,) = jax.linear_transpose(lambda kernel: forward(x, kernel, geometry), kernel)(dy)
    return gradient
