"""Images and masks that are moved together."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from zoo.data import augment
from zoo.data.augment import masks
from zoo.data.dataset import IGNORED

KEY = jax.random.key(0)
FILL = (10.0, 20.0, 30.0)
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 200, (64, 8, 10), np.uint8)
IMAGES = LABELS[..., None].repeat(3, -1)

scale_and_crop = jax.jit(augment.random_scale_and_crop, static_argnums=(3, 4, 5))
boxes_with_masks = jax.jit(masks.boxes_with_masks, static_argnums=4)


def box(labels, corner, side):
    """A box of the first mask, and of the image that shows it."""
    images = labels[None, ..., None].repeat(3, -1)
    corners, sides = np.float32([corner]), np.float32([side])
    moved = boxes_with_masks(images, labels[None], corners, sides, FILL)
    return tuple(np.asarray(array[0]) for array in moved)


def test_a_factor_of_one_leaves_everything_as_it_is():
    for dtype in (np.uint8, np.float32):
        images, labels = scale_and_crop(KEY, IMAGES.astype(dtype), LABELS, 1.0, 1.0, FILL)
        assert (images.dtype, labels.dtype) == (dtype, np.uint8)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)


def test_twice_the_size_has_each_pixel_twice():
    image, label = box(LABELS[0], (2, 3), (4, 5))
    np.testing.assert_array_equal(label, LABELS[0, 2:6, 3:8].repeat(2, 0).repeat(2, 1))
    whole = jax.image.resize(LABELS[0].astype(np.float32), (16, 20), "linear")
    np.testing.assert_allclose(image[..., 1], whole[4:12, 6:16], atol=0.51)


def test_half_the_size_averages_and_has_the_colour_and_no_class_around_it():
    labels = np.zeros((8, 12), np.uint8)
    labels[:, 6:] = 80
    image, label = box(labels, (-4, -12), (16, 24))  # At half the size, 4 x 6 pixels lie at row 2 and column 6.
    inside = np.zeros((8, 12), bool)
    inside[2:6, 6:12] = True
    assert (label[~inside] == IGNORED).all()
    assert (image[~inside] == FILL).all()
    np.testing.assert_array_equal(label[2:6, 6:], [[0, 0, 0, 80, 80, 80]] * 4)
    np.testing.assert_array_equal(image[2:6, 6:, 0], [[0, 0, 10, 70, 80, 80]] * 4)  # a triangle two pixels wide


def test_what_is_ignored_stays_ignored_and_nothing_is_between_classes():
    labels = RANDOM.choice(np.array([0, 7, IGNORED], np.uint8), (32, 8, 8))
    labels[0] = IGNORED
    _, moved = scale_and_crop(KEY, labels[..., None].repeat(3, -1), labels, 0.5, 2.0, FILL)
    assert set(np.unique(moved)) == {0, 7, IGNORED}
    assert (np.asarray(moved[0]) == IGNORED).all()


def test_images_and_masks_stay_aligned():
    # A mask of two halves, and an image that shows it: where the image is clearly one of them, so is the mask.
    labels = np.zeros((200, 16, 16), np.uint8)
    labels[:100, 8:], labels[100:, :, 8:] = 200, 200
    images, moved = map(np.asarray, scale_and_crop(KEY, labels[..., None].repeat(3, -1), labels, 0.5, 2.0, (90.0,) * 3))
    is_known = moved != IGNORED
    assert ((images == 90).all(-1) | is_known).all()
    difference = np.abs(images[..., 0].astype(int) - moved)[is_known]
    assert difference.max() <= 100  # Nearest and bilinear change over at the same place.
    assert (difference > 2).mean() < 0.2  # near the edge
    changed = [np.unique(label[known]).size for label, known in zip(moved, is_known, strict=True)]
    assert np.mean(np.array(changed) == 2) > 0.7


@pytest.mark.parametrize(("smallest", "largest"), [(0.5, 2.0), (0.25, 0.75), (1.5, 3.0)])
def test_factors_and_places_are_within_the_ranges(monkeypatch, smallest, largest):
    monkeypatch.setattr(masks, "boxes_with_masks", lambda images, labels, corners, sides, fill: (corners, sides))
    images = np.broadcast_to(np.uint8(0), (4000, 100, 120, 3))
    arguments = images, images[..., 0], smallest, largest, FILL
    corners, sides = map(np.asarray, augment.random_scale_and_crop(KEY, *arguments))
    whole = np.array([100, 120])
    factors = whole / sides
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-5)
    spread = (factors[:, 0] - smallest) / (largest - smallest)
    np.testing.assert_allclose(np.quantile(spread, [0, 0.25, 0.5, 0.75, 1]), [0, 0.25, 0.5, 0.75, 1], atol=0.03)
    room = whole - sides  # The box lies within the image, or the image within the box.
    assert (np.minimum(0, room) - 1e-3 <= corners).all()
    assert (corners <= np.maximum(0, room) + 1e-3).all()
    places = (corners / room)[np.abs(room).min(-1) > 1]
    np.testing.assert_allclose(places.mean(0), 0.5, atol=0.03)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.1


def test_examples_draw_for_themselves_and_the_key_decides():
    same = np.broadcast_to(IMAGES[:1], IMAGES.shape)
    drawn = (scale_and_crop(jax.random.key(seed), same, same[..., 0], 0.5, 2.0, FILL) for seed in (0, 0, 1))
    first, again, other = (np.asarray(labels) for _, labels in drawn)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len({label.tobytes() for label in first}) > 50
