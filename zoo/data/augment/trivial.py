"""TrivialAugment (2103.10158): one operation of fourteen on each image, of random strength.

All examples go through the same three stages, in which only those do something whose operation it is: a warp for what
moves pixels, a blend with a greyer or a smoother image, and a table from old to new values for the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from zoo.data.augment.colour import blend, luma
from zoo.data.augment.pixels import as_pixels

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "saturation", "contrast",
    "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
_LEVELS = 31

# What an operation does at full strength, in the "wide" space of the paper and of torchvision.
_SHEAR = 0.99  # pixels a pixel
_TRANSLATION = 32.0  # pixels, whatever the size of the image
_ROTATION = 135.0  # degrees
_ENHANCEMENT = 0.99  # of a factor from 1
_POSTERIZATION = 6  # bits of 8 that are dropped


def trivial_augment(key: jax.Array, images: jax.Array) -> jax.Array:
    """Applies one of the `OPERATIONS` to each image, each as likely, at one of 31 strengths from none to full.

    The operations and their ranges are those of TrivialAugment "wide" in torchvision; those that have two directions
    take one at random. Where pixels are moved, they are interpolated bilinearly, and what comes in is black.

    Args:
        key: for operations, strengths and directions.
        images: RGB, uint8 (N, H, W, 3).

    Raises:
        ValueError: if the images are not uint8.
    """
    if images.dtype != jnp.uint8:
        raise ValueError(f"trivial_augment takes uint8 images, not {images.dtype}")
    count = len(images)
    operation_key, level_key, direction_key = jax.random.split(key, 3)
    operations = jax.random.randint(operation_key, (count,), 0, len(OPERATIONS))
    levels = jax.random.randint(level_key, (count,), 0, _LEVELS)
    directions = jnp.where(jax.random.bernoulli(direction_key, shape=(count,)), 1, -1)
    return apply(images, operations, directions * levels / (_LEVELS - 1))


def apply(images: jax.Array, operations: jax.Array, strengths: jax.Array) -> jax.Array:
    """Applies given operations.

    Args:
        images: uint8 (N, H, W, 3).
        operations: of each image, indices into `OPERATIONS`, (N,).
        strengths: of each, from -1 to 1, float32 (N,); without the sign for what has one direction.
    """
    stages: list[Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]] = [
        lambda images, tables: (_warped(images, operations, strengths), tables),
        lambda images, tables: (_enhanced(images, operations, strengths), tables),
        lambda images, tables: (images, jax.vmap(_table)(images, operations, strengths)),
        lambda images, tables: (_looked_up(images, tables), tables),
    ]

    def stage(number: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return jax.lax.switch(number, stages, *carry)

    # Outside of a loop XLA would compute each pixel of a stage anew for every use that the next one makes of it.
    tables = jnp.zeros((len(images), 3, 256), images.dtype)
    return jax.lax.fori_loop(0, len(stages), stage, (images, tables))[0]


def _is(operations: jax.Array, name: str) -> jax.Array:
    return operations == OPERATIONS.index(name)


def _warped(images: jax.Array, operations: jax.Array, strengths: jax.Array) -> jax.Array:
    """Sheared, shifted or rotated."""
    _, height, width, _ = images.shape

    def only(name: str, full: float) -> jax.Array:
        return jnp.where(_is(operations, name), full * strengths, 0.0)

    angle = only("rotate", _ROTATION) * (jnp.pi / 180)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = width / 2, height / 2  # A rotation is about the middle, a shear leaves the first row or column in place.
    # From a place in the result, (x, y, 1) in pixels, to that in the image which it comes from.
    matrices = jnp.asarray(
        [
            [cos, sin + only("shear_x", _SHEAR), x - cos * x - sin * y + only("translate_x", _TRANSLATION)],
            [-sin + only("shear_y", _SHEAR), cos, y + sin * x - cos * y + only("translate_y", _TRANSLATION)],
        ]
    )

    def warp(image: jax.Array, matrix: jax.Array) -> jax.Array:
        y, x = jnp.mgrid[:height, :width] + 0.5
        from_x, from_y = (a * x + b * y + c for a, b, c in matrix)
        is_inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)

        def sample(channel: jax.Array) -> jax.Array:
            values = map_coordinates(channel, [from_y - 0.5, from_x - 0.5], order=1, mode="nearest")
            return jnp.where(is_inside, values, 0.0)

        return jax.vmap(sample, -1, -1)(image)

    return as_pixels(jax.vmap(warp, (0, -1))(images.astype(jnp.float32), matrices), images.dtype)


def _enhanced(images: jax.Array, operations: jax.Array, strengths: jax.Array) -> jax.Array:
    """With another saturation or sharpness."""
    values = images.astype(jnp.float32)
    is_sharpness = _is(operations, "sharpness")
    others = jnp.where(is_sharpness[:, None, None, None], _smooth(values), luma(values))
    factors = 1 + jnp.where(is_sharpness | _is(operations, "saturation"), _ENHANCEMENT * strengths, 0.0)
    return as_pixels(blend(values, others, factors), images.dtype)


def _smooth(images: jax.Array) -> jax.Array:
    """The mean over 3×3 pixels, in which that in the middle counts five times; the border stays as it is."""
    count, height, width, channels = images.shape
    rows = images.reshape(count, height, width * channels)  # in whose one dimension XLA vectorises the sums on CPUs
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    around = around[..., : -2 * channels] + around[..., channels:-channels] + around[..., 2 * channels :]
    inner = images[:, 1:-1, 1:-1]
    around = around.reshape(inner.shape)
    return images.at[:, 1:-1, 1:-1].set(jnp.rint((around + 4 * inner) / 13))


def _table(image: jax.Array, operation: jax.Array, strength: jax.Array) -> jax.Array:
    """What becomes of each value of a channel: uint8 (3, 256)."""
    old = jnp.broadcast_to(jnp.arange(256), (3, 256))
    factor = 1 + _ENHANCEMENT * strength
    strength = jnp.abs(strength)
    dropped = jnp.rint(_POSTERIZATION * strength).astype(jnp.int32)
    rows = image.reshape(len(image), -1)
    low, high = (ends.reshape(-1, 3).astype(jnp.float32) for ends in (rows.min(0), rows.max(0)))
    low, high = low.min(0)[:, None], high.max(0)[:, None]
    new = {
        "brightness": factor * old,
        "contrast": factor * old + (1 - factor) * luma(image).mean(0).mean(),
        "posterize": (old >> dropped) << dropped,
        "solarize": jnp.where(old >= 255 - 255 * strength, 255 - old, old),
        "autocontrast": jnp.where(high > low, (old - low) * (255 / jnp.maximum(high - low, 1)), old),
        "equalize": _equalized(image),
    }
    conditions = [_is(operation, name) for name in new]
    return as_pixels(jnp.select(conditions, [values.astype(jnp.float32) for values in new.values()], old), image.dtype)


def _equalized(image: jax.Array) -> jax.Array:
    """The values (3, 256) that spread those of each channel evenly; in integers, as Pillow computes them."""
    which = image.astype(jnp.int32) + 256 * jnp.arange(3)
    sizes = jnp.zeros(3 * 256, jnp.int32).at[which.ravel()].add(1, mode="promise_in_bounds").reshape(3, 256)
    up_to = jnp.cumsum(sizes, axis=-1)
    total = up_to[:, -1:]
    of_highest = jnp.where(up_to == total, sizes, 0).max(-1, keepdims=True)
    step = (total - of_highest) // 255
    spread = (step // 2 + up_to - sizes) // jnp.maximum(step, 1)
    return jnp.where(step == 0, jnp.arange(256), spread)


def _looked_up(images: jax.Array, tables: jax.Array) -> jax.Array:
    """The new values of all pixels."""
    return jax.vmap(jax.vmap(lambda table, channel: table[channel], (0, -1), -1))(tables, images)
