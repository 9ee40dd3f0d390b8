"""What the report shows of a classifier's test set: the confusion matrix, and the most confident mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.training.report import Panel, confusion_matrix, draw_confusion, draw_message, printable

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_ROWS, _COLUMNS = 4, 5


def most_confident_mistakes(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Indices of misclassified examples, the one with the highest probability of its predicted class first.

    Args:
        labels: true classes, integers of shape (N,).
        probabilities: shape (N, classes).
        count: how many at most.

    Returns:
        Integers of shape (count,), or fewer if there are fewer mistakes.
    """
    mistakes = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    confidence = probabilities[mistakes].max(axis=1)
    return mistakes[np.argsort(-confidence, kind="stable")[:count]]


def panels(
    labels: np.ndarray,
    probabilities: np.ndarray,
    images: Callable[[np.ndarray], np.ndarray],
    class_names: Sequence[str],
) -> list[Panel]:
    """The panels of a report.

    Args:
        labels: true classes of the test set, integers of shape (N,).
        probabilities: predicted for the test set, shape (N, classes); classes may be more than have a name.
        images: gives the test images at some indices: integers of shape (M,) -> uint8 of shape (M, H, W, 3).
        class_names: class -> name.

    Raises:
        ValueError: if the shapes of labels and probabilities do not fit together.
    """
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise ValueError(
            f"labels must be (N,) and probabilities (N, classes), not {labels.shape} and {probabilities.shape}"
        )
    predictions = probabilities.argmax(axis=1)
    # A model may have classes that the data lacks; they count only where it predicts one.
    classes = max(len(class_names), int(predictions.max(initial=0)) + 1)
    names = [printable(name) for name in class_names] + [f"class {k}" for k in range(len(class_names), classes)]
    mistakes = most_confident_mistakes(labels, probabilities, _ROWS * _COLUMNS)
    captions = [
        f"{names[labels[i]]}\n→ {names[predictions[i]]} {probabilities[i, predictions[i]]:.2f}" for i in mistakes
    ]

    def draw_matrix(figure: SubFigure) -> None:
        draw_confusion(figure.subplots(), confusion_matrix(labels, predictions, classes), names)

    def draw_mistakes(figure: SubFigure) -> None:
        figure.suptitle("Most confident mistakes: true → predicted, probability", fontsize="large")
        if not len(mistakes):
            draw_message(figure.subplots(), f"no mistakes in {len(labels)} test images")
            return
        grid = figure.subplots(_ROWS, _COLUMNS).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, image, caption in zip(grid, images(mistakes), captions, strict=False):
            axes.imshow(image)
            axes.set_title(caption, fontsize=8)

    return [draw_matrix, draw_mistakes]
