"""The embedded data set `scenes`: objects that hide each other, with a class for each pixel, drawn from a seed.

Nothing is downloaded: 4,000 images of 64x64 pixels take about seven seconds on one core. The ground and everything on
it draw their colours and textures from the same distributions, so that no colour tells a class. Up to five objects,
each of one of eight shapes, are painted one over another. On top lie small discs that all look alike, but are of one
class where they lie on the ground and of another where they lie on an object: their surroundings decide. The data set
that was loaded last is kept in the user's cache directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data import array_cache, outlines
from zoo.data.dataset import IGNORED, ArraySplit, Dataset
from zoo.data.outlines import SHAPES, TEXTURES, mixture, norm, rotate

IMAGE_SIZE = 64

# Not the circle, which is a large disc, nor the ring, in whose hole the ground is surrounded by the object.
_OUTLINES = {name: distance for name, distance in SHAPES.items() if name not in ("circle", "ring")}
CLASS_NAMES = ("ground", *_OUTLINES, "disc on the ground", "disc on an object")
DISC_ON_GROUND, DISC_ON_OBJECT = len(CLASS_NAMES) - 2, len(CLASS_NAMES) - 1

# Of the 4,000 training images of seed 0.
MEAN = (0.4994, 0.4988, 0.4987)
STD = (0.2344, 0.2335, 0.2348)

MAX_OBJECTS = 5
MAX_DISCS = 8
MAX_THINGS = MAX_OBJECTS + MAX_DISCS

_BATCH = 16  # Images drawn at a time.
_MIN_VISIBLE = 30  # pixels of an object
_MIN_VISIBLE_SHARE = 0.25  # of an object's pixels in the image
_RIM = 1.0  # pixels to either side of an edge
# Pixels a side of what must be the same beneath a disc and around it: the largest disc, its rim, and one more.
_DISC_SQUARE = 11
_DARKEST, _LIGHTEST = 0.12, 0.88
_CONTRAST = 0.18  # least difference in lightness between a thing and what it covers
# Lightnesses that are drawn for an object, of which the first with enough contrast to all it covers is taken.
_TRIES = 8
_NOWHERE = 99.0  # signed distance from what is not drawn
_TILT = np.pi / 6  # The furthest an object leans to either side.
_AXIS = np.arange(IMAGE_SIZE, dtype=np.float32) - (IMAGE_SIZE - 1) / 2
_PIXELS = np.stack([np.tile(_AXIS, (IMAGE_SIZE, 1)), np.tile(-_AXIS[:, None], IMAGE_SIZE)])  # x and y of each pixel


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images and where everything is in them. A thing is an object or a disc.

    Attributes:
        images: uint8, shape (N, 64, 64, 3).
        masks: uint8, shape (N, 64, 64): indices into `CLASS_NAMES`, and `IGNORED` within a pixel of an edge.
        instances: uint8, shape (N, 64, 64): 0 where the ground is visible, k + 1 where thing k is, up to its edge.
        labels: int32, shape (N, 13): the class of each thing, 0 where there is none. Objects come first, in the order
            in which they were painted, and then discs.
        boxes: int32, shape (N, 13, 4): left, top, right and bottom of the visible part of each thing, in pixels, right
            and bottom exclusive; 0 where there is none.
    """

    images: np.ndarray
    masks: np.ndarray
    instances: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray


def generate(num_examples: int, seed: int | Sequence[int] = 0) -> Scenes:
    """Draws scenes. The same arguments give the same.

    Args:
        num_examples: number of images.
        seed: what `numpy.random.default_rng` takes: integers that are not negative.

    Raises:
        ValueError: if `num_examples` is less than 1, or a seed is negative.
    """
    if num_examples < 1:
        raise ValueError(f"num_examples must be at least 1, not {num_examples}")
    rng = np.random.default_rng(seed)
    batches = [_draw(min(_BATCH, num_examples - start), rng) for start in range(0, num_examples, _BATCH)]
    return Scenes(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def load(train_examples: int = 4_000, test_examples: int = 1_000, seed: int = 0) -> Dataset:
    """The data set `scenes`, its two splits drawn from different random streams.

    Args:
        train_examples: number of training images.
        test_examples: number of test images.
        seed: which data set of this kind to draw, an integer that is not negative.

    Raises:
        ValueError: if a number of examples is less than 1, or the seed is negative.
    """
    fingerprint = _fingerprint(train_examples, test_examples, seed)
    arrays = array_cache.read("scenes", fingerprint)
    if arrays is None:
        train, test = generate(train_examples, [seed, 0]), generate(test_examples, [seed, 1])
        arrays = {
            "train_images": train.images,
            "train_masks": train.masks,
            "test_images": test.images,
            "test_masks": test.masks,
        }
        array_cache.write("scenes", fingerprint, arrays, "scenes")
    return Dataset(
        name="scenes",
        class_names=CLASS_NAMES,
        image_size=IMAGE_SIZE,
        train=ArraySplit(arrays["train_images"], arrays["train_masks"]),
        test=ArraySplit(arrays["test_images"], arrays["test_masks"]),
        mean=MEAN,
        std=STD,
        task="segmentation",
    )


def _fingerprint(*drawn: int) -> bytes:
    """Of what is drawn, of the program that draws it, and of NumPy, whose random streams may change."""
    sources = (Path(path).read_bytes() for path in (__file__, outlines.__file__))
    return hashlib.sha256(repr((drawn, np.__version__)).encode() + b"".join(sources)).digest()


def _draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Draws `count` scenes: the arrays of `Scenes`, in their order."""
    shapes, coordinates, radii, object_edges = _place_objects(count, rng)
    under, disc_edges = _place_discs(_topmost(object_edges), rng)
    lightness = _choose_lightnesses(object_edges < 0, under, rng)
    edges = np.concatenate([object_edges, disc_edges], axis=1)

    ground = np.broadcast_to(_PIXELS[:, None], (2, count, IMAGE_SIZE, IMAGE_SIZE))
    canvas = _texture(ground, np.full((count, 1, 1), IMAGE_SIZE / 2, np.float32), lightness[:, 0], rng)
    for thing in range(MAX_THINGS):
        if thing < MAX_OBJECTS:
            paint = _texture(coordinates[:, :, thing], radii[:, thing], lightness[:, thing + 1], rng)
        else:
            paint = _colour(lightness[:, thing + 1], rng)
        cover = np.clip(0.5 - edges[:, None, thing], 0, 1)  # A pixel on the edge is painted in part.
        canvas += cover * (paint - canvas)
    canvas += _uniform(rng, 0, 0.06, count, 1, 1, 1) * rng.standard_normal(canvas.shape, np.float32)
    images = np.moveaxis(np.clip(255 * canvas + 0.5, 0, 255).astype(np.uint8), 1, -1)

    object_labels = np.where((object_edges < 0).any((2, 3)), shapes + 1, 0)
    disc_labels = np.select([under == 0, under > 0], [DISC_ON_GROUND, DISC_ON_OBJECT])
    labels = np.concatenate([object_labels, disc_labels], axis=1).astype(np.int32)
    masks = np.zeros((count, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for thing in range(MAX_THINGS):
        masks[np.abs(edges[:, thing]) <= _RIM] = IGNORED
        np.copyto(masks, labels[:, thing, None, None], where=edges[:, thing] < -_RIM, casting="unsafe")
    instances = _topmost(edges)
    return images, masks, instances, labels, _boxes(instances)


def _place_objects(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Chooses objects, and leaves out those that would hardly be visible.

    Returns:
        Indices of their shapes, (count, 5); coordinates along their own axes, (2, count, 5, 64, 64); radii,
        (count, 5, 1, 1); signed distances from their edges, (count, 5, 64, 64).
    """
    each = (count, MAX_OBJECTS, 1, 1)
    shapes = rng.integers(len(_OUTLINES), size=each[:2])
    radii = _uniform(rng, 9, 22, *each)
    centre_x, centre_y = _uniform(rng, -26, 26, *each), _uniform(rng, -26, 26, *each)
    coordinates = np.stack(rotate(_PIXELS[0] - centre_x, _PIXELS[1] - centre_y, _uniform(rng, -_TILT, _TILT, *each)))
    edges = np.empty(coordinates.shape[1:], np.float32)
    for index, distance in enumerate(_OUTLINES.values()):
        chosen = shapes == index
        x, y = coordinates[:, chosen] / radii[chosen]
        edges[chosen] = distance(np.abs(x), y) * radii[chosen]

    is_there = np.arange(MAX_OBJECTS) < rng.integers(2, MAX_OBJECTS + 1, size=(count, 1))
    hidden = np.zeros((count, IMAGE_SIZE, IMAGE_SIZE), bool)
    for index in reversed(range(MAX_OBJECTS)):  # from the top
        inside = edges[:, index] < 0
        visible = (inside & ~hidden).sum((1, 2))
        enough = np.maximum(_MIN_VISIBLE, _MIN_VISIBLE_SHARE * inside.sum((1, 2)))
        edges[~is_there[:, index] | (visible < enough), index] = _NOWHERE
        hidden |= edges[:, index] < 0
    return shapes, coordinates, radii, edges


def _place_discs(instances: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Puts discs where all around is the ground or all around is one object, in squares that do not overlap.

    Args:
        instances: of the objects, (count, 64, 64).

    Returns:
        What each disc lies on, 0 for the ground, k + 1 for object k and -1 for no disc, (count, 8); signed distances
        from their edges, (count, 8, 64, 64).
    """
    count, half = len(instances), _DISC_SQUARE // 2
    changes = np.zeros(instances.shape, np.int32)
    changes[:, :-1] += instances[:, :-1] != instances[:, 1:]
    changes[:, :, :-1] += instances[:, :, :-1] != instances[:, :, 1:]
    sums = np.pad(changes.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    sums = sums[:, _DISC_SQUARE:] - sums[:, :-_DISC_SQUARE]
    free = sums[:, :, _DISC_SQUARE:] == sums[:, :, :-_DISC_SQUARE]  # in order of the squares' corners
    beneath = instances[:, half:-half, half:-half]  # their centres

    each = np.arange(count)
    corner = np.arange(free.shape[1])
    number = rng.integers(MAX_DISCS // 2, MAX_DISCS + 1, size=count)
    under = np.full((count, MAX_DISCS), -1)
    edges = np.full((count, MAX_DISCS, IMAGE_SIZE, IMAGE_SIZE), _NOWHERE, np.float32)
    for index in range(MAX_DISCS):
        is_for_object = index % 3 > 0  # more often than for the ground, since it more often finds no place
        fits = free & ((beneath > 0) == is_for_object) & (index < number)[:, None, None]
        place = (fits * rng.random(fits.shape, np.float32)).reshape(count, -1).argmax(1)
        row, column = np.unravel_index(place, fits.shape[1:])
        found = fits[each, row, column]
        under[:, index] = np.where(found, beneath[each, row, column].astype(int), -1)
        x, y = _PIXELS[0, 0, column + half, None, None], _PIXELS[1, row + half, 0, None, None]
        distance = norm(_PIXELS[0] - x, _PIXELS[1] - y) - _uniform(rng, 3, 4, count, 1, 1)
        edges[found, index] = distance[found]
        overlaps_x = np.abs(corner - column[:, None]) < _DISC_SQUARE
        overlaps_y = np.abs(corner - row[:, None]) < _DISC_SQUARE
        free &= ~(overlaps_y[:, :, None] & overlaps_x[:, None] & found[:, None, None])
    return under, edges


def _choose_lightnesses(inside: np.ndarray, under: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lightnesses of the ground and of each thing, (count, 14), different from what the thing covers.

    They lie on a circle, where the lightest is followed by the darkest, and all are chosen relative to that of the
    ground: so that of every thing by itself has the same uniform distribution as the ground's, and tells nothing.

    Args:
        inside: which pixels the objects take, whether they are hidden or not, (count, 5, 64, 64).
        under: what each disc lies on, see `_place_discs`.
    """
    count, span = len(inside), _LIGHTEST - _DARKEST
    pixels = inside.reshape(count, MAX_OBJECTS, -1).astype(np.float32)
    overlap = pixels @ pixels.swapaxes(1, 2) > 0
    circle = np.empty((count, 1 + MAX_THINGS), np.float32)
    circle[:, 0] = _uniform(rng, 0, span, count)
    for index in range(MAX_OBJECTS):
        tries = (circle[:, :1] + _uniform(rng, _CONTRAST, span - _CONTRAST, count, _TRIES)) % span
        gaps = np.abs(tries[:, :, None] - circle[:, None, 1 : 1 + index])
        is_clear = (np.minimum(gaps, span - gaps) >= _CONTRAST) | ~overlap[:, None, index, :index]
        circle[:, 1 + index] = tries[np.arange(count), is_clear.all(-1).argmax(1)]
    below = np.take_along_axis(circle, np.maximum(under, 0), axis=1)
    circle[:, 1 + MAX_OBJECTS :] = (below + _uniform(rng, _CONTRAST, span - _CONTRAST, *below.shape)) % span
    return _DARKEST + circle


def _topmost(edges: np.ndarray) -> np.ndarray:
    """Which of the things is visible in each pixel, from 1, or 0 for the ground: uint8 (count, 64, 64)."""
    instances = np.zeros((len(edges), *edges.shape[2:]), np.uint8)
    for index in range(edges.shape[1]):
        instances[edges[:, index] < 0] = index + 1
    return instances


def _boxes(instances: np.ndarray) -> np.ndarray:
    """`Scenes.boxes` of `Scenes.instances`."""
    is_thing = instances[:, None] == np.arange(1, MAX_THINGS + 1, dtype=np.uint8)[:, None, None]
    columns, rows = is_thing.any(2), is_thing.any(3)
    ends = [(IMAGE_SIZE - along[..., ::-1].argmax(-1)) * along.any(-1) for along in (columns, rows)]
    return np.stack([columns.argmax(-1), rows.argmax(-1), *ends], axis=-1).astype(np.int32)


def _texture(
    coordinates: np.ndarray, radius: np.ndarray, lightness: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Two colours of about this lightness in some pattern, (count, 3, 64, 64)."""
    count = len(lightness)
    u, v = rotate(coordinates[0], coordinates[1], _uniform(rng, -np.pi, np.pi, count, 1, 1))
    frequency = 2 * np.pi / _uniform(rng, 4, 8, count, 1, 1)
    phases = _uniform(rng, 0, 2 * np.pi, 2, count, 1, 1)
    texture = TEXTURES[rng.integers(len(TEXTURES), size=count)].T.reshape(5, count, 1, 1)
    mix = mixture(texture, u, v, frequency, tuple(phases), 2 * radius)[:, None]
    first = _colour(lightness, rng)
    second = _colour(lightness + rng.choice([-1, 1], size=count) * _uniform(rng, 0.05, 0.12, count), rng)
    return first + mix * (second - first)


def _colour(lightness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour of this lightness for each image, (count, 3, 1, 1)."""
    count = len(lightness)
    hue = _uniform(rng, 0, 2 * np.pi, count, 1) + np.array([0, 2, 4], np.float32) * np.float32(np.pi / 3)
    # The cosines add up to 0: the channels' mean is the lightness.
    colour = lightness[:, None] + _uniform(rng, 0, 0.2, count, 1) * np.cos(hue)
    return colour[:, :, None, None].astype(np.float32)


def _uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> np.ndarray:
    return np.float32(low) + np.float32(high - low) * rng.random(shape, np.float32)
