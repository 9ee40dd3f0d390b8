from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zoo.training.metrics import EpochMetrics
from zoo.training.report import write_report
from zoo.training.tasks.classification_report import most_confident_mistakes, panels


def test_mistakes_come_most_confident_first():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.05, 0.95]])
    np.testing.assert_array_equal(most_confident_mistakes(np.array([0, 0, 0, 1]), probabilities, 5), [2, 1])
    np.testing.assert_array_equal(most_confident_mistakes(np.array([0, 0, 0, 1]), probabilities, 1), [2])


@pytest.mark.parametrize(("epochs", "classes"), [(0, 2), (1, 10), (5, 100)])
def test_a_report_is_a_whole_picture(epochs, classes, tmp_path):
    random = np.random.default_rng(0)
    history = [EpochMetrics(10 * k, k, 0.1 / k, 2 / k, 1 - 1 / k, 2 / k, 0.5, 100.0, 1.0) for k in range(1, epochs + 1)]
    asked = []

    def images(indices):
        asked.extend(indices)
        return random.integers(0, 256, (len(indices), 8, 8, 3), dtype=np.uint8)

    probabilities = random.dirichlet(np.ones(classes), 60)
    labels = random.integers(0, classes, 60)
    names = [f"class {k}" for k in range(classes)]
    write_report(tmp_path / "report.png", history, panels(labels, probabilities, images, names), title="a run")
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (2400, 1650)
        assert np.asarray(picture.convert("L")).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]
    assert set(asked) <= set(np.flatnonzero(probabilities.argmax(1) != labels))


def test_no_mistakes_need_no_images(tmp_path):
    drawn = panels(np.array([0, 1]), np.eye(2), lambda indices: pytest.fail("asked for images"), ["a", "b"])
    write_report(tmp_path / "report.png", [], drawn, title="x")
    assert (tmp_path / "report.png").exists()


def test_class_names_are_drawn_as_they_are_and_classes_without_a_name_get_one(tmp_path):
    probabilities = np.eye(4)[[0, 1, 3]]  # the model knows 4 classes, the data 2
    drawn = panels(
        np.array([1, 1, 0]),
        probabilities,
        lambda indices: np.zeros((len(indices), 8, 8, 3), np.uint8),
        ["$\\undefined$", "a_name_" * 20],  # the first would be an error if it were read as a formula
    )
    write_report(tmp_path / "report.png", [], drawn, title="$\\undefined$")
    assert (tmp_path / "report.png").exists()


def test_labels_and_probabilities_must_fit():
    with pytest.raises(ValueError, match=r"not \(3,\) and \(2, 2\)"):
        panels(np.zeros(3, int), np.eye(2), pytest.fail, ["a", "b"])
