"""Augmentation of batches on the device, as pure functions of a key.

Images are (N, H, W, C). Each example draws its own random numbers; `mixup` and `cutmix` draw one ratio per batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def normalize(images: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    """uint8 pixels to float32 of zero mean and unit deviation; `mean` and `std` are in units of 0 to 1."""
    scale = 1 / (255 * jnp.asarray(std, jnp.float32))
    return images.astype(jnp.float32) * scale - jnp.asarray(mean, jnp.float32) / jnp.asarray(std, jnp.float32)


def random_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Pads with `padding` zeros on each side and cuts out the original size at a random place."""
    count, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (count, 2), 0, 2 * padding + 1)

    def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, corners)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability one half."""
    flip = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def cutout(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """Sets a square of `size` pixels with a random centre to zero; it may extend beyond the border (1708.04552)."""
    count, height, width, _ = images.shape
    row_key, column_key = jax.random.split(key)

    def covered(key: jax.Array, extent: int) -> jax.Array:
        first = jax.random.randint(key, (count, 1), 0, extent) - size // 2
        position = jnp.arange(extent)
        return (position >= first) & (position < first + size)

    hole = covered(row_key, height)[:, :, None] & covered(column_key, width)[:, None, :]
    return jnp.where(hole[..., None], jnp.zeros((), images.dtype), images)


def mixup(key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Blends each example with another of the batch, in a ratio drawn from Beta(alpha, alpha) (1710.09412).

    Args:
        key: for the ratio and the pairing.
        images: float, shape (N, H, W, C).
        targets: probabilities, shape (N, classes).
        alpha: of the Beta distribution.

    Returns:
        The blended images and targets.
    """
    ratio_key, pair_key = jax.random.split(key)
    ratio = jax.random.beta(ratio_key, alpha, alpha, dtype=images.dtype)
    partner = jax.random.permutation(pair_key, len(images))
    return ratio * images + (1 - ratio) * images[partner], ratio * targets + (1 - ratio) * targets[partner]


def cutmix(key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Pastes a rectangle of another example into each one (1905.04899, section 3.1).

    The rectangle's share of the area is drawn from Beta(alpha, alpha) and, cut at the border, weighs the targets.
    Arguments and results are those of `mixup`.
    """
    ratio_key, pair_key, row_key, column_key = jax.random.split(key, 4)
    side = jnp.sqrt(jax.random.beta(ratio_key, alpha, alpha))
    _, height, width, _ = images.shape

    def covered(key: jax.Array, extent: int) -> jax.Array:
        centre = jax.random.uniform(key, maxval=extent)
        position = jnp.arange(extent) + 0.5
        return jnp.abs(position - centre) < side * extent / 2

    patch = covered(row_key, height)[:, None] & covered(column_key, width)[None, :]
    partner = jax.random.permutation(pair_key, len(images))
    share = patch.mean(dtype=targets.dtype)
    mixed = jnp.where(patch[..., None], images[partner], images)
    return mixed, (1 - share) * targets + share * targets[partner]
