"""Runs beside each other: the fields in which they differ, their results, and their curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.training import metrics
from zoo.training.config import flatten, of_run
from zoo.training.drawing import drawing
from zoo.training.metrics import EpochMetrics

_NOT_COMPARED = ("name", "output")  # of two runs they differ anyway


@dataclass(frozen=True)
class Comparison:
    """What sets runs apart; the values are one a run, in the same order.

    Attributes:
        names: what tells the directories of the runs from each other.
        differences: dotted field of the config -> values, for the fields that are not the same in all runs.
        results: figure -> values as text; those of the last epoch, and the best test accuracy.
        histories: the epochs.
    """

    names: tuple[str, ...]
    differences: dict[str, tuple[Any, ...]]
    results: dict[str, tuple[str, ...]]
    histories: tuple[list[EpochMetrics], ...]


def compare_runs(runs: Sequence[Path]) -> Comparison:
    """Reads the configs and the figures of runs, finished or not.

    Raises:
        ValueError: if one is no directory of a run, or damaged.
    """
    configs = [flatten(of_run(run)) for run in runs]
    histories = tuple(metrics.read(run) for run in runs)
    differences = {
        field: tuple(config[field] for config in configs)
        for field in configs[0]
        if field not in _NOT_COMPARED and any(config[field] != configs[0][field] for config in configs)
    }
    of_each = [_results(history) for history in histories]
    names = dict.fromkeys(name for result in of_each for name in (*_FIGURES, *result))
    results = {name: tuple(result.get(name, "–") for result in of_each) for name in names}
    return Comparison(_names(runs), differences, results, histories)


_FIGURES = ("epochs done", "train loss", "test loss", "test accuracy", "best accuracy", "training time", "images/s")


def _results(history: Sequence[EpochMetrics]) -> dict[str, str]:
    if not history:
        return {"epochs done": "0"}
    last, best = history[-1], max(history, key=lambda epoch: epoch.test_accuracy)
    values = (
        f"{last.epoch}",
        f"{last.train_loss:.4f}",
        f"{last.test_loss:.4f}",
        f"{last.test_accuracy:.2%}",
        f"{best.test_accuracy:.2%} ({best.epoch})",
        f"{sum(epoch.seconds for epoch in history):.0f} s",
        f"{last.images_per_second:.0f}",
    )
    more = {metrics.words(name): f"{value:.2%}" for name, value in last.more.items()}
    return dict(zip(_FIGURES, values, strict=True)) | more


def _names(runs: Sequence[Path]) -> tuple[str, ...]:
    """The last parts of the paths, as many as tell them apart."""
    paths = [run.resolve() for run in runs]
    names = [path.name for path in paths]
    if len(set(names)) == len(names) or len(set(paths)) < len(paths):
        return tuple(names)
    common = os.path.commonpath(paths)
    return tuple(os.path.relpath(path, common) for path in paths)


def draw_curves(path: Path, comparison: Comparison) -> None:
    """Draws the losses and accuracies of the runs over their epochs, on common axes, as a PNG.

    Raises:
        OSError: if the file cannot be written; it names the file.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    with drawing(path, 14, 5) as figure:
        loss, accuracy = figure.subplots(1, 2)
        for number, (name, history) in enumerate(zip(comparison.names, comparison.histories, strict=True)):
            epochs, color = [epoch.epoch for epoch in history], f"C{number % 10}"
            label = name.replace("$", r"\$")
            for axes, train, test in (
                (loss, [epoch.train_loss for epoch in history], [epoch.test_loss for epoch in history]),
                (accuracy, [epoch.train_accuracy for epoch in history], [epoch.test_accuracy for epoch in history]),
            ):
                axes.plot(epochs, test, color=color, label=label, marker="o", markersize=3)
                axes.plot(epochs, train, color=color, linestyle="--", alpha=0.5)
        loss.set_title("Loss: test, and dashed in training")
        accuracy.set_title("Accuracy: test, and dashed in training")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
        for axes in (loss, accuracy):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        accuracy.legend(frameon=False)
