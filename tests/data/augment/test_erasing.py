from __future__ import annotations

import jax
import numpy as np

from zoo.data import augment

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(1, 255, (64, 8, 8, 3), dtype=np.uint8)


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


def test_random_erasing_clears_one_rectangle_within_the_image():
    images = np.ones((1000, 40, 60, 3), np.float32)
    holes = np.asarray(augment.random_erasing(KEY, images, 1.0) == 0).all(-1)
    heights, widths = holes.any(2).sum(1), holes.any(1).sum(1)
    np.testing.assert_array_equal(holes.sum((1, 2)), heights * widths)
    assert (holes.sum((1, 2)) > 0).mean() > 0.99  # Of ten rectangles, one fits but for bad luck.
    heights, widths = heights[heights > 0], widths[widths > 0]
    share, ratio = heights * widths / (40 * 60), heights / widths
    assert share.min() < 0.03
    assert 0.3 < share.max() < 0.35  # Sides are whole numbers.
    assert (share > 0.015).all()
    assert 0.25 < ratio.min() < 0.4
    assert 2.5 < ratio.max() < 3.7
    covered = holes.mean(0)
    assert covered[0, 0] > 0  # also in the corners
    assert covered[-1, -1] > 0


def test_random_erasing_leaves_the_others_as_they_are():
    erased = np.asarray(augment.random_erasing(KEY, np.ones((1000, 20, 20, 3), np.float32), 0.25))
    assert 200 < (erased == 0).any((1, 2, 3)).sum() < 300
    assert set(np.unique(erased)) == {0, 1}
