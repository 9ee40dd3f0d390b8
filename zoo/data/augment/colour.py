"""Augmentation of colours, and the blending that makes images brighter, greyer or sharper."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from zoo.data.augment.pixels import as_pixels

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R 601), as Pillow and torchvision make grey


def color_jitter(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Changes brightness, contrast and saturation of each image, in random order, as torchvision does.

    Each of the three factors is uniform from `1 - strength`, or 0 if that is negative, to `1 + strength`. Hue stays.

    Args:
        key: for the factors and the order.
        images: RGB with pixels from 0 to 255, (N, H, W, 3).
        strength: above 0.

    Returns:
        The images in their dtype; integers are rounded once, at the end.
    """
    factor_key, order_key = jax.random.split(key)
    factors = jax.random.uniform(factor_key, (len(images), 3), minval=max(0.0, 1 - strength), maxval=1 + strength)
    order = jax.random.uniform(order_key, (len(images), 3)).argsort(-1)
    return jitter(images, factors, order)


def jitter(images: jax.Array, factors: jax.Array, order: jax.Array) -> jax.Array:
    """Changes brightness (0), contrast (1) and saturation (2) of each image by given factors.

    Args:
        images: (N, H, W, 3).
        factors: of the three, float32 (N, 3).
        order: in which they are changed, each row a permutation of 0, 1 and 2, (N, 3).
    """
    changed = images.astype(jnp.float32)
    for position in range(3):
        which = order[:, position]
        factor = jnp.take_along_axis(factors, which[:, None], axis=1)
        grey = luma(changed)
        mean = grey.mean(1, keepdims=True).mean(2, keepdims=True)  # XLA vectorises one axis after another.
        which = which[:, None, None, None]
        changed = blend(changed, jnp.where(which == 0, 0.0, jnp.where(which == 1, mean, grey)), factor[:, 0])
    return as_pixels(changed, images.dtype)


def luma(images: jax.Array) -> jax.Array:
    """The grey of RGB images: float32 (..., H, W, 1)."""
    # Not a sum over the last axis: XLA computes that on CPUs a hundred times more slowly.
    red, green, blue = (weight * images[..., i : i + 1].astype(jnp.float32) for i, weight in enumerate(_LUMA))
    return red + green + blue


def blend(images: jax.Array, others: jax.Array, factor: jax.Array) -> jax.Array:
    """`factor` (N,) of each image and `1 - factor` of the other, from 0 to 255; a factor above 1 leads away from it."""
    factor = factor[:, None, None, None]
    return jnp.clip(factor * images + (1 - factor) * others, 0, 255)
