"""Augmentations that move pixels."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from zoo.data.augment.pixels import as_pixels

_TRIES = 10  # boxes that are drawn for each image, of which the first that fits is taken


def random_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Pads with `padding` zeros on each side and cuts out the original size at a random place."""
    count, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (count, 2), 0, 2 * padding + 1)

    def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, corners)


def random_resized_crop(key: jax.Array, images: jax.Array, size: int, smallest: float) -> jax.Array:
    """Cuts a box of random area and shape out of each image and resizes it to `size` (1409.4842, section 6).

    The box's share of the area is uniform from `smallest` to 1, and the logarithm of its width over its height from
    that of 3/4 to that of 4/3, as in torchvision. Ten boxes are drawn; if none fits, the whole image is taken.
    Resizing is bilinear and averages where it makes a box smaller, as Pillow's `resize` with a `box` does it.

    Args:
        key: for the boxes.
        images: (N, H, W, C).
        size: height and width of the results.
        smallest: share of the area, above 0 and at most 1.

    Returns:
        (N, size, size, C) of the dtype of the images; integers are rounded.
    """
    count, height, width, _ = images.shape
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, (count, _TRIES), minval=smallest, maxval=1.0) * height * width
    log_ratio = jax.random.uniform(ratio_key, (count, _TRIES), minval=math.log(3 / 4), maxval=math.log(4 / 3))
    sides = jnp.stack([jnp.sqrt(area / jnp.exp(log_ratio)), jnp.sqrt(area * jnp.exp(log_ratio))], axis=-1)
    whole = jnp.asarray([height, width], sides.dtype)
    fits = (sides <= whole).all(-1)
    first = jnp.take_along_axis(sides, fits.argmax(-1)[:, None, None], axis=1)[:, 0]
    sides = jnp.where(fits.any(-1, keepdims=True), first, whole)
    corners = jax.random.uniform(place_key, (count, 2)) * (whole - sides)
    return resized_boxes(images, corners, sides, (size, size))


def resized_boxes(images: jax.Array, corners: jax.Array, sides: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """A box of each image, resized to `shape`. What lies outside of the image is 0.

    Args:
        images: (N, H, W, C).
        corners: the top and the left of each box in pixels, float32 (N, 2).
        sides: the height and the width of each, likewise.
        shape: height and width of the results.
    """
    channels = images.shape[-1]

    def resize(image: jax.Array, corner: jax.Array, side: jax.Array) -> jax.Array:
        scale = jnp.asarray(shape, side.dtype) / side
        return jax.image.scale_and_translate(
            image, (*shape, channels), (0, 1), scale, -corner * scale, "linear", antialias=True
        )

    resized = jax.vmap(resize)(images.astype(jnp.float32), corners, sides)
    return as_pixels(resized, images.dtype)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability one half."""
    flip = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)
