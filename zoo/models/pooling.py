"""Pooling over space."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx


def max_pool(x: jax.Array, stride: int = 2) -> jax.Array:
    """(N, H, W, C) -> (N, H / stride, W / stride, C), the largest of 3×3 pixels, padded by one on every side."""
    return nnx.max_pool(x, (3, 3), (stride, stride), ((1, 1), (1, 1)))


def global_average_pool(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, C), the mean over all pixels, taken in float32 and given in the dtype of `x`."""
    return x.mean((1, 2), dtype=jnp.float32).astype(x.dtype)
