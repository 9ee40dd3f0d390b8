"""The two Gaussian kernels of the fully connected CRF, each as the function that multiplies a map by it.

A kernel has an entry for every pair of pixels, too many to keep, but a map of shape (H, W, C) can be multiplied by it:
the smoothness kernel is separable, the appearance kernel is made a block of rows at a time, or is 0 beyond a window.
Both are normalised symmetrically, D^-1/2 K D^-1/2 where D has the sums of the rows of K on its diagonal, as in the code
that was published with arXiv 1210.5644, and a pixel also sends a message to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

Kernel = Callable[[jax.Array], jax.Array]

# Entries of the appearance kernel that are there at a time, 16 MB of float32.
_BLOCK_ENTRIES = 2**22

# Q is made of small differences; TPUs and GPUs would otherwise round what they multiply to 8 or 11 bits.
_einsum = partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def smoothness_kernel(height: int, width: int, deviation: float | jax.Array, dtype: jnp.dtype) -> Kernel:
    """exp(-|p - p'|² / 2θγ²) of the positions p of two pixels.

    Args:
        height: of the maps.
        width: of the maps.
        deviation: θγ, pixels.
        dtype: of the maps.
    """

    def along(size: int) -> jax.Array:
        position = jnp.arange(size, dtype=dtype)
        return jnp.exp(-0.5 * ((position[:, None] - position) / deviation) ** 2)

    rows, columns = along(height), along(width)

    def multiply(maps: jax.Array) -> jax.Array:
        return _einsum("iy,yxc->ixc", rows, _einsum("jx,yxc->yjc", columns, maps))

    return _normalised(multiply, height, width, dtype)


def appearance_kernel(
    image: jax.Array, position_deviation: float | jax.Array, colour_deviation: float | jax.Array
) -> Kernel:
    """exp(-|p - p'|² / 2θα² - |I - I'|² / 2θβ²) of the positions p and the colours I of two pixels, exactly.

    Args:
        image: shape (H, W, 3), of the dtype of the maps.
        position_deviation: θα, pixels.
        colour_deviation: θβ, in the units of the image.
    """
    height, width, _ = image.shape
    pixels = height * width
    positions = jnp.stack(jnp.indices((height, width), image.dtype), axis=-1) / position_deviation
    features = jnp.concatenate([positions, image / colour_deviation], axis=-1).reshape(pixels, 5)
    rows = min(pixels, max(1, _BLOCK_ENTRIES // pixels))
    blocks = -(-pixels // rows)
    padded = jnp.pad(features, ((0, blocks * rows - pixels), (0, 0))).reshape(blocks, rows, 5)

    # Recomputed for gradients, for which all blocks would otherwise be kept. A product of features would be a little
    # faster than their differences, but too inexact in float32 for pixels that hardly differ.
    @jax.checkpoint
    def multiply_block(block: jax.Array, maps: jax.Array) -> jax.Array:
        squares = (jnp.square(block[:, None, axis] - features[:, axis]) for axis in range(5))
        return _einsum("ij,jc->ic", jnp.exp(-0.5 * sum(squares)), maps)

    def multiply(maps: jax.Array) -> jax.Array:
        # Blocks that wait for the maps are not made before the iterations and kept for all of them, which is what JAX
        # would do for gradients.
        flat, blocks_now = lax.optimization_barrier((maps.reshape(pixels, -1), padded))
        product = lax.map(lambda block: multiply_block(block, flat), blocks_now)
        return product.reshape(blocks * rows, -1)[:pixels].reshape(maps.shape)

    return _normalised(multiply, height, width, image.dtype)


def windowed_appearance_kernel(
    image: jax.Array, position_deviation: float | jax.Array, colour_deviation: float | jax.Array, window: int
) -> Kernel:
    """The same, but 0 for two pixels of which one is outside of the window around the other (arXiv 1805.04777).

    Args:
        image: shape (H, W, 3), of the dtype of the maps.
        position_deviation: θα, pixels.
        colour_deviation: θβ, in the units of the image.
        window: side of the square window in pixels, odd.
    """
    height, width, _ = image.shape
    radius = window // 2

    def neighbours(maps: jax.Array, y: jax.Array) -> list[jax.Array]:
        """The maps moved so that each pixel is at that of its neighbour in row y of the window; 0 from outside."""
        padded = jnp.pad(maps, ((radius, radius), (radius, radius), (0, 0)))
        rows = lax.dynamic_slice_in_dim(padded, y, height)
        return [rows[:, x : x + width] for x in range(window)]

    def entries(y: jax.Array) -> jax.Array:
        columns = jnp.arange(window, dtype=image.dtype) - radius
        positions = (jnp.square(y.astype(image.dtype) - radius) + jnp.square(columns)) / jnp.square(position_deviation)
        colours = jnp.stack([jnp.square((each - image) / colour_deviation).sum(-1) for each in neighbours(image, y)])
        return jnp.exp(-0.5 * (positions[:, None, None] + colours))

    window_rows = jnp.arange(window)
    kernel = lax.map(entries, window_rows)  # (window, window, H, W)

    def multiply(maps: jax.Array) -> jax.Array:
        @jax.checkpoint  # Gradients would otherwise keep the neighbours.
        def add_row(total: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            y, weights = row
            products = zip(weights, neighbours(maps, y), strict=True)
            return total + sum(weight[..., None] * each for weight, each in products), None

        return lax.scan(add_row, jnp.zeros_like(maps), (window_rows, kernel))[0]

    return _normalised(multiply, height, width, image.dtype)


def _normalised(multiply: Kernel, height: int, width: int, dtype: jnp.dtype) -> Kernel:
    scale = lax.rsqrt(multiply(jnp.ones((height, width, 1), dtype)))  # No sum is below 1, a pixel's with itself.
    return lambda maps: scale * multiply(scale * maps)
