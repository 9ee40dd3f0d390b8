"""The embedded data set `shapes`: ten kinds of textured shapes in CIFAR-10's form, drawn from a seed.

Nothing is downloaded: 12,000 images of 32x32 pixels take about two seconds on one core. Each image holds one shape of
random size, position, tilt, colours and texture, over a gradient with small distractors behind the shape and
pixel noise on top. What makes it worth training on: no pixel says much by itself, yet a person names every shape at a
glance. Each image comes with its pixel mask, for segmentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.data.dataset import ArraySplit, Dataset

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


# The signed distance functions below are negative inside a shape and positive outside, and near the edge give the
# distance to it. Shapes lie within the unit circle. The caller passes |x|, so each is its own mirror image: flipping
# an image, as augmentation does, never turns one class into another.


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _length(x, y) - 0.85


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_length(x, y) - 0.75) - 0.23


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_length(x, y) - 1, 0.85 - _length(x, y - 0.55))


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(0.866 * x + 0.5 * y, -y) - 0.5


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(x, np.abs(y)) - 0.7


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    long, short = np.maximum(x, np.abs(y)), np.minimum(x, np.abs(y))
    return np.maximum(long - 0.93, short - 0.29)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Folding the plane into the half of one point leaves a single edge, from the tip (0, 1) to the notch between two
    # points, at radius 0.45 and 36 degrees.
    sector = 2 * math.pi / 5
    angle = np.arctan2(x, y)
    angle = np.abs(angle - sector * np.round(angle / sector))
    radius = _length(x, y)
    notch_x, notch_y = 0.45 * math.sin(sector / 2), 0.45 * math.cos(sector / 2)
    edge_x, edge_y = notch_x, notch_y - 1
    return (edge_x * (radius * np.cos(angle) - 1) - edge_y * radius * np.sin(angle)) / math.hypot(edge_x, edge_y)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A disc bent upwards by the root of |x|, which makes the notch and the tip.
    return _length(x, 1.25 * y - 0.9 * np.sqrt(x) + 0.3) - 0.8


def _arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    head = np.maximum(0.707 * (x + y - 1), -y)
    shaft = np.maximum(x - 0.24, np.abs(y + 0.35) - 0.6)
    return np.minimum(head, shaft)


def _hourglass(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(y) - 0.75, 0.8 * (x - 0.08) - 0.6 * np.abs(y))


_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "ring": _ring,
    "crescent": _crescent,
    "triangle": _triangle,
    "square": _square,
    "cross": _cross,
    "star": _star,
    "heart": _heart,
    "arrow": _arrow,
    "hourglass": _hourglass,
}

CLASS_NAMES: tuple[str, ...] = tuple(_SHAPES)

# A texture mixes two colours by the sign of a sum of waves s along one axis and t along the other (the gradient: by
# position). Its coefficients are those of 1, s, t, s * t and the position.
_TEXTURES = {
    "plain": (-1, 0, 0, 0, 0),
    "stripes": (0, 1, 0, 0, 0),
    "checker": (0, 0, 0, 1, 0),
    "dots": (-0.6, 1, 1, 0, 0),
    "gradient": (0, 0, 0, 0, 1),
}
_COEFFICIENTS = np.array(list(_TEXTURES.values()), np.float32)


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
    for label, distance in enumerate(_SHAPES.values()):
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

    def rotate(x: np.ndarray, y: np.ndarray, limit: float = np.pi) -> tuple[np.ndarray, np.ndarray]:
        angle = uniform(-limit, limit)
        cos, sin = np.cos(angle), np.sin(angle)
        return cos * x + sin * y, cos * y - sin * x

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
    canvas = first + (colour(ground) - first) * (rotate(x, y)[0] / IMAGE_SIZE + 0.5)
    for _ in range(_DISTRACTORS):
        along, across = rotate(x - uniform(-16, 16), y - uniform(-16, 16))
        length = np.maximum(uniform(-6, 6), 0)  # Half of them are dots.
        along = along - np.clip(along, -length, length)
        canvas = blend(canvas, colour(uniform(0.1, 0.9)), _length(along, across) - uniform(0.5, 1.5))

    radius = uniform(7.5, 11)
    room = 15 - radius
    shape_x, shape_y = rotate(x - uniform(-room, room), y - uniform(-room, room), _TILT)
    edge = distance(np.abs(shape_x) / radius, shape_y / radius) * radius

    u, v = rotate(shape_x, shape_y)
    frequency = 2 * np.pi / uniform(4, 7)
    s, t = np.sin(frequency * u + uniform(0, 2 * np.pi)), np.sin(frequency * v + uniform(0, 2 * np.pi))
    texture = _COEFFICIENTS[rng.integers(len(_TEXTURES), size=count)].T.reshape(5, count, 1, 1, 1)
    wave = texture[0] + texture[1] * s + texture[2] * t + texture[3] * s * t
    mix = np.clip(0.5 + wave / frequency + texture[4] * u / (2 * radius), 0, 1)
    first = colour(figure)
    second = colour(figure + np.where(shape_is_light, 1, -1) * uniform(0.1, 0.2))
    canvas = blend(canvas, first + (second - first) * mix, edge)

    canvas = canvas + uniform(0, 0.06) * rng.standard_normal(canvas.shape, np.float32)
    pixels = np.clip(255 * canvas + 0.5, 0, 255).astype(np.uint8)
    return np.moveaxis(pixels, 1, -1), edge[:, 0] < 0
