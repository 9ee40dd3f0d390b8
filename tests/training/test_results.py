from __future__ import annotations

import numpy as np
import pytest

from zoo.training.results import measure


def test_known_answers():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).astype(np.float32)
    metrics = measure(logits, np.array([0, 1]))
    assert metrics["test_accuracy"] == 0.5
    assert metrics["test_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-5)
