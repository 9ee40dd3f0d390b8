"""The embedded data set `shapes`: ten kinds of textured shapes in CIFAR-10's form, drawn from a seed.

Nothing is downloaded: 12,000 images of 32x32 pixels take about two seconds on one core. Each image holds one shape of
random size, position, tilt, colours and texture, over a gradient with small distractors behind the shape and
pixel noise on top. What makes it worth training on: no pixel says much by itself, yet a person names every shape at a
glance. Each image comes with its pixel mask, for segmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.outlines import SHAPES, TEXTURES, mixture, norm, rotate

IMAGE_SIZE = 32

# Of the 10,000 training images of seed 0.
MEAN = (0.3996, 0.3991, 0.3986)
STD = (0.2288, 0.2297, 0.2288)

_BATCH = 16  # Images drawn at a time: their float32 arrays stay in the processor's cache.
_DISTRACTORS = 4
_TILT = np.pi / 6  # The furthest a shape leans to either side.


@dataclass(frozen=True, eq=False)
class Shapes:
    """Images, their labels and their masks.

    Attributes:
        images: uint8, shape (N, 32, 32, 3).
        labels: int32, shape (N,), indices into `CLASS_NAMES`.
        masks: uint8, shape (N, 32, 32): 0 for background, label + 1 for the shape.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


CLASS_NAMES: tuple[str, ...] = tuple(SHAPES)


def generate(num_examples: int, seed: int | Sequence[int] = 0) -> Shapes:
    """Draws labelled images of shapes. The same arguments give the same images.

    Args:
        num_examples: number of images. Classes are balanced (their counts differ by one at most) and shuffled.
        seed: what `numpy.random.default_rng` takes: integers that are not negative.

    Raises:
        ValueError: if `num_examples` is less than 1, or a seed is negative.
    """
    if num_examples < 1:
        raise ValueError(f"num_examples must be at least 1, not {num_examples}")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_examples, dtype=np.int32) % len(CLASS_NAMES))
    images = np.empty((num_examples, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    masks = np.empty((num_examples, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for label, distance in enumerate(SHAPES.values()):
        members = np.flatnonzero(labels == label)
        for start in range(0, len(members), _BATCH):
            batch = members[start : start + _BATCH]
            images[batch], inside = _draw(distance, len(batch), rng)
            masks[batch] = inside * np.uint8(label + 1)
    return Shapes(images, labels, masks)


def load(train_examples: int = 10_000, test_examples: int = 2_000, seed: int = 0) -> Dataset:
    """The data set `shapes`, its two splits drawn from different random streams.

    Args:
        train_examples: number of training images.
        test_examples: number of test images.
        seed: which data set of this kind to draw, an integer that is not negative.

    Raises:
        ValueError: if a number of examples is less than 1, or the seed is negative.
    """
    train, test = generate(train_examples, [seed, 0]), generate(test_examples, [seed, 1])
    return Dataset(
        name="shapes",
        class_names=CLASS_NAMES,
        image_size=IMAGE_SIZE,
        train=ArraySplit(train.images, train.labels),
        test=ArraySplit(test.images, test.labels),
        mean=MEAN,
        std=STD,
    )


def _draw(
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` images of one shape: uint8 (count, 32, 32, 3), and bool (count, 32, 32), true inside the shape."""

    # Everything below broadcasts to (count, channels, height, width); lengths are in pixels from the image's centre.
    def uniform(low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        return low + (high - low) * rng.random((count, 1, 1, 1), np.float32)

    def colour(lightness: np.ndarray) -> np.ndarray:
        hue = uniform(0, 2 * np.pi) + np.array([0, 2, 4], np.float32).reshape(3, 1, 1) * np.float32(np.pi / 3)
        return lightness + uniform(0, 0.2) * np.cos(hue)  # The cosines add up to 0: the channels' mean is lightness.

    def turn(x: np.ndarray, y: np.ndarray, limit: float = np.pi) -> tuple[np.ndarray, np.ndarray]:
        return rotate(x, y, uniform(-limit, limit))

    def blend(canvas: np.ndarray, paint: np.ndarray, edge: np.ndarray) -> np.ndarray:
        """Paints where `edge`, a signed distance in pixels, is negative; a pixel on the edge is painted in part."""
        return canvas + np.clip(0.5 - edge, 0, 1) * (paint - canvas)

    axis = np.arange(IMAGE_SIZE, dtype=np.float32) - (IMAGE_SIZE - 1) / 2
    x, y = axis[None, :], -axis[:, None]

    # The shape is darker than the background or lighter, by a margin that keeps it legible whatever the hues.
    dark = uniform(0.1, 0.4)
    light = dark + uniform(0.3, 0.5)
    shape_is_light = uniform(0, 1) < 0.7
    ground, figure = np.where(shape_is_light, dark, light), np.where(shape_is_light, light, dark)

    first = colour(ground)
    canvas = first + (colour(ground) - first) * (turn(x, y)[0] / IMAGE_SIZE + 0.5)
    for _ in range(_DISTRACTORS):
        along, across = turn(x - uniform(-16, 16), y - uniform(-16, 16))
        length = np.maximum(uniform(-6, 6), 0)  # Half of them are dots.
        along = along - np.clip(along, -length, length)
        canvas = blend(canvas, colour(uniform(0.1, 0.9)), norm(along, across) - uniform(0.5, 1.5))

    radius = uniform(7.5, 11)
    room = 15 - radius
    shape_x, shape_y = turn(x - uniform(-room, room), y - uniform(-room, room), _TILT)
    edge = distance(np.abs(shape_x) / radius, shape_y / radius) * radius

    u, v = turn(shape_x, shape_y)
    frequency = 2 * np.pi / uniform(4, 7)
    phases = uniform(0, 2 * np.pi), uniform(0, 2 * np.pi)
    texture = TEXTURES[rng.integers(len(TEXTURES), size=count)].T.reshape(5, count, 1, 1, 1)
    mix = mixture(texture, u, v, frequency, phases, 2 * radius)
    first = colour(figure)
    second = colour(figure + np.where(shape_is_light, 1, -1) * uniform(0.1, 0.2))
    canvas = blend(canvas, first + (second - first) * mix, edge)

    canvas = canvas + uniform(0, 0.06) * rng.standard_normal(canvas.shape, np.float32)
    pixels = np.clip(255 * canvas + 0.5, 0, 255).astype(np.uint8)
    return np.moveaxis(pixels, 1, -1), edge[:, 0] < 0
