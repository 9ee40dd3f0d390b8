from __future__ import annotations

import numpy as np
import pytest

from zoo.training.config import ModelConfig, TrainConfig
from zoo.training.results import measure, options_of_model


def test_known_answers():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).astype(np.float32)
    metrics = measure(logits, np.array([0, 1]))
    assert metrics["test_accuracy"] == 0.5
    assert metrics["test_loss"] == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-5)


def test_only_options_that_are_set_reach_the_model(dataset):
    config = TrainConfig(model=ModelConfig(width=0.5))
    assert options_of_model(config, dataset) == {"num_classes": 4, "small_images": True, "width": 0.5}


def test_the_small_form_is_taken_where_the_model_has_one_or_is_told_to(dataset):
    def options(name, small_images=None):
        return options_of_model(TrainConfig(model=ModelConfig(name=name, small_images=small_images)), dataset)

    assert options("resnext29_2x64d") == {"num_classes": 4}
    assert options("resnext29_2x64d", True) == {"num_classes": 4, "small_images": True}
    assert options("mobilenet_v2", False) == {"num_classes": 4, "small_images": False}


def test_fewer_classes_than_the_data_has_are_refused(dataset):
    config = TrainConfig(model=ModelConfig(num_classes=3))
    with pytest.raises(ValueError, match=r"model\.num_classes=3 is less than the 4 classes of colours"):
        options_of_model(config, dataset)
