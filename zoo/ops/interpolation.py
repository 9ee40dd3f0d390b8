"""Bilinear interpolation of maps, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import jax

INTERPOLATION = "interpolation"
"""The scope of what `resize_bilinear` computes, whose products are not those of a layer."""


def resize_bilinear(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """(N, H, W, C) -> (N, *size, C), in the dtype of `x`.

    Pixels are areas, and the borders of the map those of the result (PyTorch's `align_corners=False`). A smaller map
    is not smoothed first.
    """
    height, width = size
    with jax.named_scope(INTERPOLATION):
        return jax.image.resize(x, (x.shape[0], height, width, x.shape[-1]), "bilinear", antialias=False)
