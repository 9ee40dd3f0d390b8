"""Augmentations that mix pairs of examples, in one ratio for the whole batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp


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
