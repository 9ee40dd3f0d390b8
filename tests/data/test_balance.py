from __future__ import annotations

import jax
import numpy as np
import pytest

from zoo.data.balance import BalancedDraws, class_weights

LABELS = np.array([2, 0, 0, 0, 2, 0, 0, 0, 5, 0], np.int32)  # 7 of class 0, 2 of class 2, 1 of class 5


def test_each_class_has_the_same_part_in_the_loss():
    weights = class_weights(LABELS, 7)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [10 / 21, 1, 10 / 6, 1, 1, 10 / 3, 1], rtol=1e-6)
    assert weights[LABELS].mean() == pytest.approx(1)


def test_each_class_is_drawn_as_often_and_each_of_its_examples():
    draws = BalancedDraws(LABELS)
    random = np.random.default_rng(0)
    for drawn in (
        np.array([draws.draw(random) for _ in range(9000)]),
        np.asarray(jax.jit(draws.draw_many, static_argnums=1)(jax.random.key(0), 9000)),
    ):
        counts = np.bincount(drawn, minlength=10)
        np.testing.assert_allclose(counts[8], 3000, rtol=0.05)
        np.testing.assert_allclose(counts[[0, 4]], 1500, rtol=0.1)
        np.testing.assert_allclose(counts[[1, 2, 3, 5, 6, 7, 9]], 3000 / 7, rtol=0.2)


def test_what_cannot_be_balanced_is_said():
    with pytest.raises(ValueError, match="there are no examples"):
        class_weights(LABELS[:0], 3)
    with pytest.raises(ValueError, match="there are no examples"):
        BalancedDraws(LABELS[:0])
    with pytest.raises(ValueError, match="label 5 is not below num_classes=5"):
        class_weights(LABELS, 5)
