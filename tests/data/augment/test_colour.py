from __future__ import annotations

from itertools import permutations

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from zoo.data import augment
from zoo.data.augment import colour

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 16, 3), np.uint8)
ORDERS = np.array(list(permutations(range(3))))


def test_jitter_is_what_pillow_does_in_each_order():
    factors = np.tile(np.float32([1.3, 0.6, 1.7]), (6, 1))
    changed = np.asarray(colour.jitter(IMAGES, factors, ORDERS))
    assert changed.dtype == np.uint8
    results = set()
    for image, order, result in zip(IMAGES, ORDERS, changed, strict=True):
        expected = Image.fromarray(image)
        for which in order:
            enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which]
            expected = enhance(expected).enhance(float(factors[0, which]))
        np.testing.assert_allclose(result.astype(int), np.asarray(expected).astype(int), atol=4)  # Pillow cuts off.
        results.add(colour.jitter(IMAGES[:1], factors[:1], order[None]).tobytes())
    assert len(results) == 6


def test_factors_of_one_change_nothing():
    np.testing.assert_array_equal(colour.jitter(IMAGES, np.ones((6, 3), np.float32), ORDERS), IMAGES)


@pytest.mark.parametrize(("strength", "low", "high"), [(0.4, 0.6, 1.4), (1.5, 0, 2.5)])
def test_each_image_has_factors_and_an_order_of_its_own(monkeypatch, strength, low, high):
    monkeypatch.setattr(colour, "jitter", lambda images, factors, order: (factors, order))
    images = np.zeros((3000, 1, 1, 3), np.uint8)
    factors, order = map(np.asarray, augment.color_jitter(jax.random.key(0), images, strength))
    assert factors.min() == pytest.approx(low, abs=0.01)
    assert factors.max() == pytest.approx(high, abs=0.01)
    np.testing.assert_allclose(np.corrcoef(factors.T), np.eye(3), atol=0.1)
    kinds, counts = np.unique(order, axis=0, return_counts=True)
    np.testing.assert_array_equal(kinds, ORDERS)
    assert counts.min() > 400
