from __future__ import annotations

import numpy as np

from zoo.training.report import confusion_matrix


def test_confusion_counts_by_true_and_predicted_class():
    matrix = confusion_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 1]])
