"""The augmentation that scales an image and its mask together."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from zoo.data.augment.geometry import resized_boxes
from zoo.data.augment.pixels import as_pixels
from zoo.data.dataset import IGNORED


def random_scale_and_crop(
    key: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    smallest: float,
    largest: float,
    fill: Sequence[float],
) -> tuple[jax.Array, jax.Array]:
    """Scales each image and its mask by a random factor, and crops or pads them to their size at a random place.

    The factor is uniform from `smallest` to `largest`; they are 0.5 and 2 in DeepLab (1706.05587, section 4.1). Images
    are resized bilinearly, and averaged where they become smaller; masks take the nearest pixel.

    Args:
        key: for the factors and the places.
        images: (N, H, W, C).
        labels: masks, (N, H, W) of integers.
        smallest: above 0.
        largest: not less than `smallest`.
        fill: of each channel, what an image has beyond its border; there the mask has `IGNORED`. For pixels that are
            normalised afterwards, 255 times the mean makes it about zero.

    Returns:
        Images and labels in their shapes and dtypes; pixels of integers are rounded.
    """
    count, height, width, _ = images.shape
    factor_key, place_key = jax.random.split(key)
    factors = jax.random.uniform(factor_key, (count, 1), minval=smallest, maxval=largest)
    whole = jnp.asarray([height, width], jnp.float32)
    # The box of the image that is seen: a part of it, or, for a factor below 1, more than all of it.
    sides = whole / factors
    corners = jax.random.uniform(place_key, (count, 2)) * (whole - sides)
    return boxes_with_masks(images, labels, corners, sides, fill)


def boxes_with_masks(
    images: jax.Array, labels: jax.Array, corners: jax.Array, sides: jax.Array, fill: Sequence[float]
) -> tuple[jax.Array, jax.Array]:
    """A box of each image and of its mask, resized to the size of the whole.

    Args:
        images, labels, fill: see `random_scale_and_crop`.
        corners: the top and the left of each box in pixels, float32 (N, 2); negative outside of the image.
        sides: the height and the width of each, likewise.
    """
    _, height, width, _ = images.shape

    def sources(axis: int, length: int) -> tuple[jax.Array, jax.Array]:
        """Which row or column each one of the results shows, (N, length), and whether it is within the image."""
        places = (jnp.arange(length) + 0.5) * (sides[:, axis, None] / length) + corners[:, axis, None]
        return jnp.clip(places.astype(jnp.int32), 0, length - 1), (places >= 0) & (places < length)

    (rows, row_is_inside), (columns, column_is_inside) = sources(0, height), sources(1, width)
    is_inside = row_is_inside[:, :, None] & column_is_inside[:, None, :]
    moved = jax.vmap(lambda label, row, column: label[row][:, column])(labels, rows, columns)
    moved = jnp.where(is_inside, moved, jnp.asarray(IGNORED, labels.dtype))
    resized = resized_boxes(images, corners, sides, (height, width))
    colour = as_pixels(jnp.asarray(fill, jnp.float32), images.dtype)
    return jnp.where(is_inside[..., None], resized, colour), moved
