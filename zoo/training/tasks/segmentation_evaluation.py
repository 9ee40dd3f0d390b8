"""`SegmentationEvaluation`: what a segmentation net makes of a test set, figure by figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zoo.training.report import share


@dataclass(frozen=True)
class ClassFigures:
    """How well the pixels of one class are found; shares are from 0 to 1.

    Attributes:
        name: of the class.
        pixels: of it in the test set.
        iou: intersection over union: pixels that are of the class and taken for it, of those that are either; None if
            there are none.
        recall: the share of its pixels that were taken for it; None if it has none.
    """

    name: str
    pixels: int
    iou: float | None
    recall: float | None


@dataclass(frozen=True)
class SegmentationEvaluation:
    """The figures of a net over all pixels of a test set that have a class; shares are from 0 to 1.

    Attributes:
        pixels: that count.
        loss: mean cross-entropy.
        accuracy: share of the pixels whose likeliest class is the right one.
        mean_iou: mean intersection over union, from one confusion matrix of the whole set; classes that neither have
            pixels nor are predicted are left out.
        classes: figures of each class.
        confusion: int64 (classes, classes); row k counts the predictions for pixels of class k.
    """

    pixels: int
    loss: float
    accuracy: float
    mean_iou: float
    classes: tuple[ClassFigures, ...]
    confusion: np.ndarray

    @classmethod
    def of(cls, confusion: np.ndarray, loss: float, class_names: Sequence[str]) -> SegmentationEvaluation:
        """The figures of a confusion matrix (classes, classes).

        Args:
            confusion: pixels of each class that were taken for each.
            loss: sum of the cross-entropy over these pixels.
            class_names: of all classes.

        Raises:
            ValueError: if it counts no pixel, or there is another number of names than of classes.
        """
        pixels = int(confusion.sum())
        if pixels == 0:
            raise ValueError("no pixel of the test set has a class")
        if len(confusion) != len(class_names):
            raise ValueError(f"{len(class_names)} class names for {len(confusion)} classes")
        right, there = confusion.diagonal(), confusion.sum(1)
        either = there + confusion.sum(0) - right
        classes = tuple(
            ClassFigures(
                name,
                int(there[number]),
                float(right[number] / either[number]) if either[number] else None,
                float(right[number] / there[number]) if there[number] else None,
            )
            for number, name in enumerate(class_names)
        )
        mean_iou = float(np.mean([one.iou for one in classes if one.iou is not None]))
        return cls(pixels, loss / pixels, float(right.sum() / pixels), mean_iou, classes, confusion)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.classes)

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("loss", f"{self.loss:.4f}"),
            ("pixel accuracy", f"{self.accuracy:.2%}"),
            ("mean IoU", f"{self.mean_iou:.2%}"),
        ]

    def rows_of_classes(self) -> list[tuple[str, ...]]:
        header = ("class", "pixels", "IoU", "recall")
        return [header, *((one.name, f"{one.pixels:,}", share(one.iou), share(one.recall)) for one in self.classes)]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"confusion": self.confusion.tolist()}
