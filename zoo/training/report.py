"""A finished run on one page, as a PNG: its curves, and below them what its task shows of the test set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.training.drawing import drawing
from zoo.training.metrics import EpochMetrics, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_TRAIN_COLOR, _TEST_COLOR, _NEUTRAL_COLOR = "#0072b2", "#d55e00", "#555555"
_MOST_NAMED_CLASSES = 20  # above that the confusion matrix is drawn without names and numbers
_LONGEST_NAME = 16  # characters of a class name that have room
_MORE_STYLES = ("--", ":", "-.")

Panel = Callable[["SubFigure"], None]
"""Draws a part of a report."""


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


def write_report(path: Path, history: Sequence[EpochMetrics], panels: Sequence[Panel], title: str) -> None:
    """Draws the report of a run.

    Args:
        path: of the PNG file.
        history: the run's epochs in order; may be empty.
        panels: two, of the task.
        title: of the page.

    Raises:
        OSError: if the file cannot be written; it names the file.
    """
    with drawing(path, 16, 11, padding=0.1) as figure:
        figure.suptitle(title.replace("$", r"\$"), fontsize=16)
        top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2], squeeze=False)[:, 0]
        _draw_curves(top, history)
        for place, draw in zip(bottom.subfigures(1, 2, width_ratios=[1, 1.2], squeeze=False)[0], panels, strict=True):
            draw(place)


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
        draw_confusion(figure.subplots(), confusion, [printable(name) for name in class_names])


def _draw_curves(figure: SubFigure, history: Sequence[EpochMetrics]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [metrics.epoch for metrics in history]
    loss, accuracy, learning_rate = figure.subplots(1, 3)
    loss.set_title("Loss")
    accuracy.set_title("Accuracy")
    learning_rate.set_title("Learning rate")
    if not history:
        for axes in (loss, accuracy, learning_rate):
            draw_message(axes, "no finished epoch")
        return

    def draw(axes: Axes, values: Sequence[float], color: str, label: str, style: str = "-") -> None:
        marker = "o" if len(epochs) <= 30 else ""
        axes.plot(epochs, values, style, color=color, label=label, marker=marker, markersize=4)

    last = history[-1]
    draw(loss, [metrics.train_loss for metrics in history], _TRAIN_COLOR, f"train {last.train_loss:.3f}")
    draw(loss, [metrics.test_loss for metrics in history], _TEST_COLOR, f"test {last.test_loss:.3f}")
    draw(accuracy, [metrics.train_accuracy for metrics in history], _TRAIN_COLOR, f"train {last.train_accuracy:.2%}")
    draw(accuracy, [metrics.test_accuracy for metrics in history], _TEST_COLOR, f"test {last.test_accuracy:.2%}")
    for name, style in zip(last.more, _MORE_STYLES, strict=False):
        values = [metrics.more.get(name, math.nan) for metrics in history]
        draw(accuracy, values, _TEST_COLOR, f"{words(name)} {last.more[name]:.2%}", style)
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


def draw_confusion(axes: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    """Draws counts of (true class, predicted class) as shares of the true class."""
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


def draw_message(axes: Axes, message: str) -> None:
    """Writes a message where there is nothing to draw."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.text(0.5, 0.5, message, color=_NEUTRAL_COLOR, ha="center", va="center", transform=axes.transAxes)


def printable(name: str) -> str:
    """A name that fits into a caption, and whose dollar signs start no formula."""
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 1] + "…"
    return name.replace("$", r"\$")


def share(value: float | None) -> str:
    """A share as text; a dash where there is none."""
    return "–" if value is None else f"{value:.2%}"
