from __future__ import annotations

import numpy as np
import pytest

from zoo.training.tasks.classification_evaluation import (
    ClassFigures,
    ClassificationEvaluation,
    expected_calibration_error,
    measure,
)


def test_the_figures_of_a_test_set_that_is_counted_by_hand():
    #         true a, a, a, b, b, and never c
    probabilities = np.array([[0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.8, 0.1, 0.1]])
    labels = np.array([0, 0, 0, 1, 1], np.int32)
    evaluation = ClassificationEvaluation.of(np.log(probabilities).astype(np.float32), labels, "abc")
    assert evaluation.examples == 5
    assert evaluation.loss == pytest.approx(-np.log([0.5, 0.6, 0.2, 0.6, 0.1]).mean(), rel=1e-5)
    assert evaluation.accuracy == 0.6
    assert evaluation.top5 is None
    np.testing.assert_array_equal(evaluation.confusion, [[2, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert evaluation.classes == (
        ClassFigures("a", 3, precision=2 / 3, recall=2 / 3),
        ClassFigures("b", 2, precision=0.5, recall=0.5),
        ClassFigures("c", 0, precision=None, recall=None),
    )
    assert evaluation.to_dict()["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_the_five_likeliest_count_for_the_top_5():
    logits = np.tile(np.arange(7.0, dtype=np.float32), (7, 1))
    assert ClassificationEvaluation.of(logits, np.arange(7), "abcdefg").top5 == 5 / 7


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy():
    # Confidence 0.9 in one bin, right three times of four; 0.5 in another, never right.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.5, 0.5]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert expected_calibration_error(probabilities, labels) == pytest.approx((4 * 0.15 + 2 * 0.5) / 6)
    assert expected_calibration_error(np.array([[1.0, 0.0]] * 3), np.zeros(3, int)) == 0


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (np.zeros(0, int), "abc", "there must be as many labels as logits, and some"),
        (np.zeros(3, int), "abc", "there must be as many labels as logits, and some"),
        (np.zeros(2, int), "ab", "2 class names for 3 classes"),
    ],
)
def test_what_does_not_fit_is_said(labels, names, message):
    with pytest.raises(ValueError, match=message):
        ClassificationEvaluation.of(np.zeros((min(2, 2 * len(labels)), 3), np.float32), labels, names)


def test_what_is_recorded_of_an_epoch():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).astype(np.float32)
    metrics = measure(logits, np.array([0, 1]))
    assert metrics["test_accuracy"] == 0.5
    assert metrics["test_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-5)
