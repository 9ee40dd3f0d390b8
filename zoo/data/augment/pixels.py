"""Between integer pixels, from 0 to 255, and the numbers that are computed with."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def normalize(images: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    """uint8 pixels to float32 of zero mean and unit deviation; `mean` and `std` are in units of 0 to 1."""
    scale = 1 / (255 * jnp.asarray(std, jnp.float32))
    return images.astype(jnp.float32) * scale - jnp.asarray(mean, jnp.float32) / jnp.asarray(std, jnp.float32)


def as_pixels(values: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """float32 pixels in the given dtype; integers are rounded, and cut off at 0 and 255."""
    return jnp.clip(jnp.rint(values), 0, 255).astype(dtype) if jnp.issubdtype(dtype, jnp.integer) else values
