from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zoo.data.dataset import IGNORED
from zoo.training.report import write_report
from zoo.training.tasks.segmentation_evaluation import SegmentationEvaluation
from zoo.training.tasks.segmentation_report import panels

CONFUSION = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])


def test_the_figures_of_a_matrix_that_is_counted_by_hand():
    figures = SegmentationEvaluation.of(CONFUSION, 26.0, ["a", "b", "c", "d"])
    assert (figures.pixels, figures.loss, figures.accuracy) == (13, 2.0, 9 / 13)
    assert [one.iou for one in figures.classes] == [6 / 9, 3 / 7, None, 0.0]
    assert figures.mean_iou == pytest.approx((6 / 9 + 3 / 7 + 0) / 3)  # c is nowhere, and d is there but never found
    assert [one.recall for one in figures.classes] == [6 / 8, 3 / 4, None, 0.0]
    assert figures.rows_of_classes()[3] == ("c", "0", "–", "–")
    assert json.loads(json.dumps(figures.to_dict()))["classes"][0]["iou"] == 6 / 9


def test_a_test_set_without_classes_and_wrong_names_are_refused():
    with pytest.raises(ValueError, match="no pixel of the test set has a class"):
        SegmentationEvaluation.of(np.zeros((2, 2), int), 0.0, ["a", "b"])
    with pytest.raises(ValueError, match="2 class names for 4 classes"):
        SegmentationEvaluation.of(CONFUSION, 0.0, ["a", "b"])


def test_a_report_shows_where_a_net_is_wrong(tmp_path):
    labels = np.zeros((2, 8, 8), np.uint8)
    labels[:, 2:5] = 1
    labels[:, 7] = IGNORED
    drawn = panels(CONFUSION, np.zeros((2, 8, 8, 3), np.uint8), labels, np.zeros_like(labels), ["a", "b"])
    write_report(tmp_path / "report.png", [], drawn, title="x")
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.size == (2400, 1650)
        colours = {colour for count, colour in picture.convert("RGB").getcolors(1 << 24) if count > 500}
    assert {(213, 94, 0), (235, 235, 235), (224, 224, 192), (128, 0, 0)} <= colours
