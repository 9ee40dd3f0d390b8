from __future__ import annotations

import jax
import numpy as np
import pytest
from PIL import Image

from zoo.data import augment
from zoo.data.augment import geometry

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(1, 255, (64, 8, 8, 3), dtype=np.uint8)


def test_random_crop_cuts_out_of_the_zero_padded_image():
    cropped = np.asarray(augment.random_crop(KEY, IMAGES, 2))
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = set()
    for image, large in zip(cropped, padded, strict=True):
        found = [
            (i, j) for i in range(5) for j in range(5) if (large[i : i + 8, j : j + 8] == image).all()
        ]  # fmt: skip
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 15


def test_random_flip_mirrors_half_of_the_images():
    flipped = np.asarray(augment.random_flip(KEY, IMAGES))
    mirrored = (flipped == IMAGES[:, :, ::-1]).all((1, 2, 3))
    unchanged = (flipped == IMAGES).all((1, 2, 3))
    assert (mirrored ^ unchanged).all()
    assert 20 < mirrored.sum() < 44


def test_the_key_decides():
    crops = [augment.random_crop(key, IMAGES, 2) for key in (KEY, KEY, jax.random.key(1))]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()


@pytest.mark.parametrize(
    ("box", "size"),
    [((0, 0, 24, 16), 16), ((3, 2, 15, 10), 16), ((5, 1, 23, 15), 6), ((2.25, 0.5, 12.75, 11.25), 9)],
)  # left, top, right, bottom
def test_a_box_is_resized_as_pillow_does_it(box, size):
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box))
    left, top, right, bottom = box
    corners, sides = np.float32([[top, left]]), np.float32([[bottom - top, right - left]])
    for dtype, tolerance in (("uint8", 1), ("float32", 1.1)):  # Pillow rounds between its two passes, too.
        resized = geometry.resized_boxes(image[None].astype(dtype), corners, sides, (size, size))
        assert resized.dtype == dtype
        np.testing.assert_allclose(np.asarray(resized[0], np.float32), expected.astype(np.float32), atol=tolerance)


def test_a_crop_of_everything_in_the_same_size_is_the_image():
    cropped = jax.jit(augment.random_resized_crop, static_argnums=(2, 3))(KEY, IMAGES, 8, 1.0)
    unchanged = (np.asarray(cropped) == IMAGES).all((1, 2, 3))
    assert unchanged.all()  # All of the area in another shape fits nowhere.


@pytest.mark.parametrize("smallest", [0.08, 0.5])
def test_boxes_are_within_the_image_and_the_ranges(monkeypatch, smallest):
    monkeypatch.setattr(geometry, "resized_boxes", lambda images, corners, sides, shape: (corners, sides))
    count, height, width = 2000, 100, 110
    images = np.broadcast_to(np.uint8(0), (count, height, width, 3))
    corners, sides = map(np.asarray, augment.random_resized_crop(KEY, images, 7, smallest))
    assert (corners >= 0).all()
    assert (corners + sides <= np.array([height, width]) + 1e-4).all()
    area, ratio = sides.prod(-1) / (height * width), sides[:, 1] / sides[:, 0]
    assert smallest - 1e-6 <= area.min() < smallest + 0.02
    assert 0.9 < area.max() <= 1
    assert 3 / 4 - 1e-5 <= ratio.min() < 0.77
    assert 1.3 < ratio.max() <= 4 / 3 + 1e-5
    room = np.array([height, width]) - sides
    places = (corners / np.maximum(room, 1e-6))[room.min(-1) > 1]
    np.testing.assert_allclose(places.mean(0), 0.5, atol=0.03)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.1
