"""`Task`: what training, evaluation and report have to know of what a net learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from zoo.data.balance import BalancedDraws
from zoo.data.dataset import Dataset
from zoo.training.config import TrainConfig
from zoo.training.report import Panel

Findings = Any
"""What a task keeps of a test set."""


class Evaluation(Protocol):
    """The figures of a net on a test set, for people.

    Attributes:
        class_names: of all classes that the net tells apart.
        confusion: int64 (classes, classes); row k counts the predictions for what is of class k.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def confusion(self) -> np.ndarray: ...

    def rows(self) -> list[tuple[str, str]]:
        """Names and values of the figures of the whole set."""
        ...

    def rows_of_classes(self) -> list[tuple[str, ...]]:
        """The figures of each class, below a first row with their names."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """All figures, as JSON holds them."""
        ...


class Task(Protocol):
    """Targets and their augmentation, the loss, and what counts as right.

    What takes arrays of JAX is pure, and traced within the training step or the evaluation.

    Attributes:
        num_classes: how many classes the model tells apart, at least those of the data.
        correct_dtype: of what `loss` counts as right.
        draws: which training examples are taken; None for each once an epoch.
    """

    @property
    def num_classes(self) -> int: ...

    @property
    def correct_dtype(self) -> DTypeLike: ...

    @property
    def draws(self) -> BalancedDraws | None: ...

    @classmethod
    def of(cls, config: TrainConfig, dataset: Dataset) -> Task:
        """The task of a run.

        Raises:
            ValueError: if the config has something that the task or the data does not know.
        """
        ...

    def abstract_labels(self, images: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the labels of a batch of images (B, H, W, 3)."""
        ...

    def prepare(self, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        """What the model sees of a training batch, and what it is to give, with random changes.

        Args:
            key: of this step's changes.
            images: uint8 (B, H, W, 3).
            labels: of the data, with B examples.

        Returns:
            Inputs, float32 (B, H, W, 3), and targets: arrays with B examples.
        """
        ...

    def loss(self, model: nnx.Module, inputs: jax.Array, targets: Any) -> tuple[jax.Array, jax.Array]:
        """The mean loss of some examples, float32, and how many of them the model gets right, a scalar."""
        ...

    def normalize(self, images: jax.Array) -> jax.Array:
        """What the model sees of images without changes: uint8 (B, H, W, 3) -> float32."""
        ...

    def judge(self, outputs: jax.Array, labels: jax.Array, counts: jax.Array) -> Any:
        """What is kept of a batch of test examples: arrays.

        Args:
            outputs: of the model.
            labels: of the data.
            counts: bool (B,); False for an example that only fills up the batch.
        """
        ...

    def findings(self, judged: Sequence[Any], examples: int) -> Findings:
        """What is known of a test set.

        Args:
            judged: what `judge` gave, batch by batch.
            examples: of the test set; what comes after them only fills up the last batch.
        """
        ...

    def figures(self, findings: Findings) -> Mapping[str, float]:
        """`test_loss`, `test_accuracy`, and what else of the task is recorded of an epoch: `test_...`, from 0 to 1."""
        ...

    def evaluation(self, findings: Findings, class_names: Sequence[str]) -> Evaluation:
        """All figures, for a net whose classes have these names.

        Raises:
            ValueError: if there is another number of names than of classes.
        """
        ...

    def panels(self, findings: Findings, dataset: Dataset, predict: Callable[[np.ndarray], np.ndarray]) -> list[Panel]:
        """The two panels of the report below the curves.

        Args:
            findings: of the test set.
            dataset: of the run.
            predict: what the net gives for images, uint8 (N, H, W, 3).
        """
        ...


def logits_of(model: Any, inputs: jax.Array) -> list[jax.Array]:
    """The logits of a net, and the auxiliary ones where it has any."""
    if not getattr(model, "has_auxiliary", False):
        return [model(inputs)]
    logits, auxiliary = model.logits_with_auxiliary(inputs)
    return [logits, *auxiliary]
