"""Bilinear interpolation of maps, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

INTERPOLATION = "interpolation"
"""The scope of what `resize_bilinear` computes, whose products are not those of a layer."""


def resize_bilinear(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """(N, H, W, C) -> (N, *size, C), in the dtype of `x`.

    Pixels are areas, and the borders of the map those of the result (PyTorch's `align_corners=False`). A smaller map
    is not smoothed first.
    """
    height, width = size
    with jax.named_scope(INTERPOLATION):
        if x.shape[1:3] == (1, 1):  # a pooled map: no products
            return jnp.broadcast_to(x, (x.shape[0], height, width, x.shape[-1]))
        return jax.image.resize(x, (x.shape[0], height, width, x.shape[-1]), "bilinear", antialias=False)


def enlarge_bilinear(x: jax.Array, stride: int, size: Sequence[int]) -> jax.Array:
    """(N, h, w, C) -> (N, *size, C), in the dtype of `x`: pixel `p` lies at `p / stride` in the map.

    Pixels are points, and what lies beyond the last one of the map has its value. For a size of `stride * (h - 1) + 1`
    it is PyTorch's `align_corners=True`.
    """
    height, width = size
    with jax.named_scope(INTERPOLATION):
        for axis in (1, 2):
            x = jnp.concatenate([x, lax.slice_in_dim(x, -1, None, axis=axis)], axis)
        return jax.image.scale_and_translate(
            x,
            (x.shape[0], height, width, x.shape[-1]),
            spatial_dims=(1, 2),
            scale=jnp.full(2, stride, jnp.float32),
            translation=jnp.full(2, (1 - stride) / 2, jnp.float32),  # from pixels as areas to pixels as points
            method="bilinear",
            antialias=False,
        )
