"""What evens out classes of unequal size: weights for the loss, or draws in which each class is as likely."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Weights of the classes with which each has the same part in the sum of the losses.

    A class of n of the N examples weighs N / (C n), where C classes have examples: the mean over the examples is 1.

    Args:
        labels: of all training examples, integers (N,).
        num_classes: how many classes the net tells apart; those without examples weigh 1.

    Returns:
        float32 (num_classes,).

    Raises:
        ValueError: if there are no examples, or a label is not below `num_classes`.
    """
    counts = _counts(labels, num_classes)
    there = counts > 0
    return np.where(there, len(labels) / (there.sum() * np.maximum(counts, 1)), 1).astype(np.float32)


class BalancedDraws:
    """Draws indices of examples: first one of the classes, each as likely, and then one of its examples.

    Args:
        labels: of all examples, integers (N,).

    Raises:
        ValueError: if there are no examples.
    """

    def __init__(self, labels: np.ndarray) -> None:
        counts = _counts(labels, int(labels.max(initial=0)) + 1)
        self._by_class = np.argsort(labels, kind="stable").astype(np.int32)
        ends = np.cumsum(counts)
        self._counts = counts[counts > 0].astype(np.int32)
        self._starts = (ends - counts)[counts > 0].astype(np.int32)

    def draw(self, random: np.random.Generator) -> int:
        """An index, from NumPy's generator."""
        number = random.integers(len(self._counts))
        return int(self._by_class[self._starts[number] + random.integers(self._counts[number])])

    def draw_many(self, key: jax.Array, count: int) -> jax.Array:
        """So many indices, int32 (count,), from a key of JAX."""
        class_key, example_key = jax.random.split(key)
        numbers = jax.random.randint(class_key, (count,), 0, len(self._counts))
        within = jax.random.randint(example_key, (count,), 0, jnp.asarray(self._counts)[numbers])
        return jnp.asarray(self._by_class)[jnp.asarray(self._starts)[numbers] + within]


def _counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    if len(labels) == 0:
        raise ValueError("there are no examples")
    if labels.max() >= num_classes:
        raise ValueError(f"label {labels.max()} is not below num_classes={num_classes}")
    return np.bincount(labels, minlength=num_classes)
