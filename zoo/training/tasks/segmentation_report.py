"""What the report shows of a segmentation net: its confusion matrix, and what it makes of some test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.dataset import IGNORED
from zoo.palette import palette
from zoo.training.report import Panel, draw_confusion, printable

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

EXAMPLES = 5
_COLUMNS = ("image", "truth", "prediction", "difference")
_WRONG, _RIGHT = (213, 94, 0), (235, 235, 235)


def panels(
    confusion: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    class_names: Sequence[str],
) -> list[Panel]:
    """The panels of a report.

    Args:
        confusion: of the test set, (classes, classes).
        images: some of its images, uint8 (N, H, W, 3).
        labels: their masks, (N, H, W).
        predictions: the likeliest classes of their pixels, (N, H, W).
        class_names: class -> name; there may be fewer names than classes.
    """
    names = [printable(name) for name in class_names]
    names += [f"class {number}" for number in range(len(names), len(confusion))]
    colours = palette()

    def draw_matrix(figure: SubFigure) -> None:
        draw_confusion(figure.subplots(), confusion, names)

    def draw_examples(figure: SubFigure) -> None:
        figure.suptitle("The first test images: orange is wrong, beige has no class", fontsize="large")
        grid = figure.subplots(len(images), len(_COLUMNS), squeeze=False)
        for axes, name in zip(grid[0], _COLUMNS, strict=True):
            axes.set_title(name, fontsize=8)
        for row, image, truth, prediction in zip(grid, images, labels, predictions, strict=True):
            difference = np.where((truth == prediction)[..., None], _RIGHT, _WRONG)
            difference[truth == IGNORED] = colours[IGNORED]
            for axes, pixels in zip(row, (image, colours[truth], colours[prediction], difference), strict=True):
                axes.set_axis_off()
                axes.imshow(pixels)

    return [draw_matrix, draw_examples]
