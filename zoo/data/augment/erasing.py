"""Augmentations that blank out a part of each image."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

_TRIES = 10  # rectangles that are drawn for each image


def cutout(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """Sets a square of `size` pixels with a random centre to zero; it may extend beyond the border (1708.04552)."""
    count, height, width, _ = images.shape
    row_key, column_key = jax.random.split(key)

    def covered(key: jax.Array, extent: int) -> jax.Array:
        return _between(jax.random.randint(key, (count, 1), 0, extent) - size // 2, size, extent)

    hole = covered(row_key, height)[:, :, None] & covered(column_key, width)[:, None, :]
    return jnp.where(hole[..., None], jnp.zeros((), images.dtype), images)


def random_erasing(key: jax.Array, images: jax.Array, probability: float) -> jax.Array:
    """Sets a rectangle within each image to zero, with some probability (1708.04896).

    Its share of the area is uniform from 0.02 to 0.33, and the logarithm of its height over its width from that of 0.3
    to that of 3.3, as in torchvision. Ten rectangles are drawn, and the first that fits is taken; if none does, the
    image stays as it is.

    Args:
        key: for the rectangles and who gets one.
        images: (N, H, W, C); zero is the mean colour of normalised images.
        probability: above 0 and at most 1.
    """
    count, height, width, _ = images.shape
    chance_key, area_key, ratio_key, row_key, column_key = jax.random.split(key, 5)
    area = jax.random.uniform(area_key, (count, _TRIES), minval=0.02, maxval=0.33) * height * width
    log_ratio = jax.random.uniform(ratio_key, (count, _TRIES), minval=math.log(0.3), maxval=math.log(3.3))
    heights = jnp.rint(jnp.sqrt(area * jnp.exp(log_ratio)))
    widths = jnp.rint(jnp.sqrt(area / jnp.exp(log_ratio)))
    fits = (heights > 0) & (heights < height) & (widths > 0) & (widths < width)
    first = fits.argmax(-1, keepdims=True)

    def covered(key: jax.Array, lengths: jax.Array, extent: int) -> jax.Array:
        length = jnp.take_along_axis(lengths, first, axis=1)
        return _between(jnp.floor(jax.random.uniform(key, (count, 1)) * (extent - length + 1)), length, extent)

    hole = covered(row_key, heights, height)[:, :, None] & covered(column_key, widths, width)[:, None, :]
    erased = fits.any(-1) & jax.random.bernoulli(chance_key, probability, (count,))
    return jnp.where(erased[:, None, None, None] & hole[..., None], jnp.zeros((), images.dtype), images)


def _between(first: jax.Array, length: jax.Array | int, extent: int) -> jax.Array:
    """Which of `extent` places, for each image, are among the `length` from the `first` (N, 1) on: (N, extent)."""
    position = jnp.arange(extent)
    return (position >= first) & (position < first + length)
