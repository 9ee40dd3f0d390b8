from __future__ import annotations

import numpy as np
import pytest

from zoo.training.config import ModelConfig, TrainConfig
from zoo.training.results import measure, model_options


def test_known_answers():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).astype(np.float32)
    metrics = measure(logits, np.array([0, 1]))
    assert metrics["test_accuracy"] == 0.5
    assert metrics["test_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-5)


def test_only_options_that_are_set_reach_the_model(dataset):
    config = TrainConfig(model=ModelConfig(width=0.5))
    assert model_options(config, dataset) == {"num_classes": 4, "small_images": True, "width": 0.5}


def test_fewer_classes_than_the_data_has_are_refused(dataset):
    config = TrainConfig(model=ModelConfig(num_classes=3))
    with pytest.raises(ValueError, match=r"model\.num_classes=3 is less than the 4 classes of colours"):
        model_options(config, dataset)
