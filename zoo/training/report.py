"""A finished run on one page: curves, confusion matrix and the most confident mistakes, as a PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.training.drawing import drawing
from zoo.training.metrics import EpochMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_TRAIN_COLOR, _TEST_COLOR, _NEUTRAL_COLOR = "#0072b2", "#d55e00", "#555555"
_MISTAKE_ROWS, _MISTAKE_COLUMNS = 4, 5
_MOST_NAMED_CLASSES = 20  # above that the confusion matrix is drawn without names and numbers
_LONGEST_NAME = 16  # characters of a class name that have room


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts of (true class, predicted class).

    Args:
        labels: true classes, integers of shape (N,).
        predictions: predicted classes, integers of shape (N,).
        classes: how many there are.

    Returns:
        int64, shape (classes, classes); row k holds the examples whose true class is k.
    """
    return np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes**2).reshape(classes, classes)


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


def write_report(
    path: Path,
    history: Sequence[EpochMetrics],
    labels: np.ndarray,
    probabilities: np.ndarray,
    images: Callable[[np.ndarray], np.ndarray],
    class_names: Sequence[str],
    title: str,
) -> None:
    """Draws the report of a run.

    Args:
        path: of the PNG file.
        history: the run's epochs in order; may be empty.
        labels: true classes of the test set, integers of shape (N,).
        probabilities: predicted for the test set, shape (N, classes); classes may be more than have a name.
        images: gives the test images at some indices: integers of shape (M,) -> uint8 of shape (M, H, W, 3).
        class_names: class -> name.
        title: of the page.

    Raises:
        OSError: if the file cannot be written; it names the file.
        ValueError: if the shapes of labels and probabilities do not fit together.
    """
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise ValueError(
            f"labels must be (N,) and probabilities (N, classes), not {labels.shape} and {probabilities.shape}"
        )
    predictions = probabilities.argmax(axis=1)
    # A model may have classes that the data lacks; they count only where it predicts one.
    classes = max(len(class_names), int(predictions.max(initial=0)) + 1)
    names = [_printable(name) for name in class_names] + [f"class {k}" for k in range(len(class_names), classes)]
    mistakes = most_confident_mistakes(labels, probabilities, _MISTAKE_ROWS * _MISTAKE_COLUMNS)
    captions = [
        f"{names[labels[i]]}\n→ {names[predictions[i]]} {probabilities[i, predictions[i]]:.2f}" for i in mistakes
    ]

    with drawing(path, 16, 11, padding=0.1) as figure:
        figure.suptitle(title.replace("$", r"\$"), fontsize=16)
        top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2], squeeze=False)[:, 0]
        matrix, grid = bottom.subfigures(1, 2, width_ratios=[1, 1.2], squeeze=False)[0]
        _draw_curves(top, history)
        _draw_confusion(matrix.subplots(), confusion_matrix(labels, predictions, classes), names)
        grid.suptitle("Most confident mistakes: true → predicted, probability", fontsize="large")
        if len(mistakes):
            _draw_mistakes(grid, images(mistakes), captions)
        else:
            _write_message(grid.subplots(), f"no mistakes in {len(labels)} test images")


def write_confusion_matrix(path: Path, confusion: np.ndarray, class_names: Sequence[str]) -> None:
    """Draws a confusion matrix as a PNG.

    Args:
        path: of the file.
        confusion: counts of (true class, predicted class).
        class_names: class -> name.

    Raises:
        OSError: if the file cannot be written; it names the file.
    """
    with drawing(path, 9, 8) as figure:
        _draw_confusion(figure.subplots(), confusion, [_printable(name) for name in class_names])


def _draw_curves(figure: SubFigure, history: Sequence[EpochMetrics]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [metrics.epoch for metrics in history]
    loss, accuracy, learning_rate = figure.subplots(1, 3)
    loss.set_title("Loss")
    accuracy.set_title("Accuracy")
    learning_rate.set_title("Learning rate")
    if not history:
        for axes in (loss, accuracy, learning_rate):
            _write_message(axes, "no finished epoch")
        return

    def draw(axes: Axes, values: Sequence[float], color: str, label: str) -> None:
        axes.plot(epochs, values, color=color, label=label, marker="o" if len(epochs) <= 30 else "", markersize=4)

    last = history[-1]
    draw(loss, [metrics.train_loss for metrics in history], _TRAIN_COLOR, f"train {last.train_loss:.3f}")
    draw(loss, [metrics.test_loss for metrics in history], _TEST_COLOR, f"test {last.test_loss:.3f}")
    draw(accuracy, [metrics.train_accuracy for metrics in history], _TRAIN_COLOR, f"train {last.train_accuracy:.2%}")
    draw(accuracy, [metrics.test_accuracy for metrics in history], _TEST_COLOR, f"test {last.test_accuracy:.2%}")
    draw(learning_rate, [metrics.learning_rate for metrics in history], _NEUTRAL_COLOR, "learning rate")
    loss.legend(frameon=False)
    accuracy.legend(frameon=False)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes in (loss, accuracy, learning_rate):
        axes.set_xlabel("epoch")
        axes.set_xlim(epochs[0] - 0.5, last.epoch + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)


def _draw_confusion(axes: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    accuracy = f"; {np.trace(counts) / counts.sum():.2%} of {counts.sum()} are right" if counts.any() else ""
    axes.set_title(f"Test set, % of the true class{accuracy}")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(names) > _MOST_NAMED_CLASSES:
        axes.set_xticks([])
        axes.set_yticks([])
        figure = axes.get_figure()
        assert figure is not None
        figure.colorbar(drawn, ax=axes, shrink=0.8)
        return
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    fontsize = 10 if len(names) <= 10 else 7
    for true, predicted in np.argwhere(shares > 0.005):
        share = shares[true, predicted]
        color = "white" if share > 0.5 else "black"
        axes.text(predicted, true, f"{100 * share:.0f}", color=color, ha="center", va="center", fontsize=fontsize)


def _draw_mistakes(figure: SubFigure, images: np.ndarray, captions: Sequence[str]) -> None:
    grid = figure.subplots(_MISTAKE_ROWS, _MISTAKE_COLUMNS).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image)
        axes.set_title(caption, fontsize=8)


def _write_message(axes: Axes, message: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, message, color=_NEUTRAL_COLOR, ha="center", va="center", transform=axes.transAxes)


def _printable(name: str) -> str:
    """A name that fits into a caption, and whose dollar signs start no formula."""
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 1] + "…"
    return name.replace("$", r"\$")
