from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.data import augment

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(1, 255, (64, 8, 8, 3), dtype=np.uint8)


def test_normalize_gives_the_declared_mean_and_deviation_of_0_and_1():
    mean, std = (0.2, 0.5, 0.6), (0.1, 0.2, 0.3)
    pixels = jnp.asarray([[[[51, 127.5, 153]]], [[[76.5, 178.5, 229.5]]]])
    np.testing.assert_allclose(augment.normalize(pixels, mean, std).reshape(2, 3), [[0] * 3, [1] * 3], atol=1e-6)


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


def test_cutout_clears_one_square_that_may_reach_over_the_border():
    cut = np.asarray(augment.cutout(KEY, IMAGES, 4))
    holes = (cut == 0).all(-1)
    assert (cut[~holes] == IMAGES[~holes]).all()
    for hole in holes:
        rows, columns = hole.any(1), hole.any(0)
        assert hole.sum() == rows.sum() * columns.sum()
        assert 2 <= rows.sum() <= 4
        assert 2 <= columns.sum() <= 4
    assert (holes.sum((1, 2)) == 16).any()


@pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])
def test_targets_are_mixed_in_the_proportion_of_the_pixels(mix):
    # Image k is filled with k, so a pixel tells where it came from.
    images = jnp.broadcast_to(jnp.arange(16.0)[:, None, None, None], (16, 8, 8, 3))
    mixed, targets = mix(jax.random.key(3), images, jnp.eye(16), 1.0)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), targets @ jnp.arange(16.0), rtol=1e-5)
    assert (targets < 1).any(axis=1).all()
    assert ((targets > 0).sum(1) == 2).any()


def test_cutmix_pastes_a_rectangle():
    images = jnp.broadcast_to(jnp.arange(16.0)[:, None, None, None], (16, 8, 8, 3))
    mixed, _ = augment.cutmix(jax.random.key(3), images, jnp.eye(16), 1.0)
    foreign = np.asarray((mixed != images).all(-1))
    for patch in foreign[foreign.any((1, 2))]:
        assert patch.sum() == patch.any(1).sum() * patch.any(0).sum()


def test_the_key_decides():
    crops = [augment.random_crop(key, IMAGES, 2) for key in (KEY, KEY, jax.random.key(1))]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()
