"""Pooling over space."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def max_pool(x: jax.Array, stride: int = 2, padding: int = 1) -> jax.Array:
    """(N, H, W, C) -> (N, H', W', C), the largest of 3×3 pixels; with a padding of one, H' is H / stride rounded up."""
    return nnx.max_pool(x, (3, 3), (stride, stride), ((padding, padding), (padding, padding)))


def max_pool_at_end(x: jax.Array, size: int = 3) -> jax.Array:
    """(N, H, W, C) -> (N, H / 2, W / 2, C), rounded up: the largest of size × size pixels, padded by one at the end.

    As PyTorch's pooling without padding in its mode that rounds up, for a size of 2 or 3.
    """
    return nnx.max_pool(x, (size, size), (2, 2), ((0, 1), (0, 1)))


def global_average_pool(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, C), the mean over all pixels, taken in float32 and given in the dtype of `x`.

    Raises:
        ValueError: if there are no pixels.
    """
    _require_pixels(x)
    return x.mean((1, 2), dtype=jnp.float32).astype(x.dtype)


def adaptive_average_pool(x: jax.Array, size: int) -> jax.Array:
    """(N, H, W, C) -> (N, size, size, C): means over as equal parts of the map as there are, as in PyTorch.

    Where `size` does not divide H, neighbouring parts overlap by a pixel; where H is smaller, pixels are repeated.

    Raises:
        ValueError: if there are no pixels.
    """
    _require_pixels(x)
    for axis in (1, 2):
        length = x.shape[axis]
        if length != size:
            parts = [
                lax.slice_in_dim(x, index * length // size, -(-(index + 1) * length // size), axis=axis)
                for index in range(size)
            ]
            x = jnp.concatenate([part.mean(axis, keepdims=True) for part in parts], axis)
    return x


def _require_pixels(x: jax.Array) -> None:
    """Raises ValueError for a map without pixels, whose mean would be NaN."""
    if 0 in x.shape[1:3]:
        raise ValueError(f"the last map, {x.shape}, has no pixels: the images are too small for this net")
