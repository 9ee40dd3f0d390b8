"""`ClassificationEvaluation`: what a classifier makes of a test set, figure by figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
import optax

from zoo.training.report import confusion_matrix, share

_BINS = 15  # of confidence, as in 1706.04599
_TOP = 5


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is told from the others; shares are from 0 to 1.

    Attributes:
        name: of the class.
        examples: of it in the test set.
        precision: the share of what was taken for this class that is of it; None if nothing was.
        recall: the share of its examples that were taken for it; None if it has none.
    """

    name: str
    examples: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class ClassificationEvaluation:
    """The figures of a net on a test set; shares are from 0 to 1.

    Attributes:
        examples: in the test set.
        loss: mean cross-entropy.
        accuracy: share of the examples whose likeliest class is the right one.
        top5: share of the examples whose class is among the five likeliest; None for fewer than six classes.
        calibration_error: expected calibration error (1706.04599, section 3): the mean distance of confidence and
            accuracy over 15 equal bins of confidence, weighted by the examples in them.
        classes: figures of each class.
        confusion: int64 (classes, classes); row k counts the predictions for examples of class k.
    """

    examples: int
    loss: float
    accuracy: float
    top5: float | None
    calibration_error: float
    classes: tuple[ClassFigures, ...]
    confusion: np.ndarray

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> ClassificationEvaluation:
        """The figures of logits (N, classes) for labels (N,).

        Args:
            logits: float32, one column a class.
            labels: integers.
            class_names: of all classes.

        Raises:
            ValueError: if there are no examples, or another number of names than of classes.
        """
        if len(labels) == 0 or len(logits) != len(labels):
            raise ValueError(f"there must be as many labels as logits, and some: {len(labels)} and {len(logits)}")
        if logits.shape[1] != len(class_names):
            raise ValueError(f"{len(class_names)} class names for {logits.shape[1]} classes")
        of_run = measure(logits, labels)
        probabilities = np.asarray(jax.nn.softmax(logits))
        confusion = confusion_matrix(labels, logits.argmax(1), len(class_names))
        return cls(
            examples=len(labels),
            loss=of_run["test_loss"],
            accuracy=of_run["test_accuracy"],
            top5=_top_accuracy(logits, labels, _TOP) if logits.shape[1] > _TOP else None,
            calibration_error=expected_calibration_error(probabilities, labels),
            classes=tuple(_of_classes(confusion, class_names)),
            confusion=confusion,
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.classes)

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("loss", f"{self.loss:.4f}"),
            ("accuracy", f"{self.accuracy:.2%}"),
            ("top-5 accuracy", share(self.top5)),
            ("calibration error", f"{self.calibration_error:.2%}"),
        ]

    def rows_of_classes(self) -> list[tuple[str, ...]]:
        header = ("class", "images", "precision", "recall")
        return [
            header,
            *((one.name, f"{one.examples:,}", share(one.precision), share(one.recall)) for one in self.classes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"confusion": self.confusion.tolist()}


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean cross-entropy and accuracy of logits (N, classes) for labels (N,): what is recorded of an epoch."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return {"test_loss": float(loss), "test_accuracy": float(np.mean(logits.argmax(-1) == labels))}


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """`ClassificationEvaluation.calibration_error` of probabilities (N, classes) for labels (N,)."""
    confidence = probabilities.max(1).astype(np.float64)
    is_right = probabilities.argmax(1) == labels
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    distance = [np.abs(np.sum(is_right[bins == number] - confidence[bins == number])) for number in range(_BINS)]
    return float(np.sum(distance) / len(labels))


def _top_accuracy(logits: np.ndarray, labels: np.ndarray, count: int) -> float:
    own = np.take_along_axis(logits, labels[:, None].astype(np.int64), 1)
    return float(np.mean((logits > own).sum(1) < count))


def _of_classes(confusion: np.ndarray, names: Sequence[str]) -> list[ClassFigures]:
    right, examples, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return [
        ClassFigures(
            name=name,
            examples=int(examples[number]),
            precision=float(right[number] / predicted[number]) if predicted[number] else None,
            recall=float(right[number] / examples[number]) if examples[number] else None,
        )
        for number, name in enumerate(names)
    ]
