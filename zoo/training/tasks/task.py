"""`Task`: what the training step has to know of what a net learns."""

from __future__ import annotations

from typing import Protocol

import jax
from flax import nnx


class Task(Protocol):
    """Targets and their augmentation, the loss, and what counts as right; pure functions, traced within the step.

    Attributes:
        num_classes: how many classes the model tells apart, at least those of the data.
    """

    @property
    def num_classes(self) -> int: ...

    def prepare(self, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What the model sees of a training batch, and what it is to give, with random changes.

        Args:
            key: of this step's changes.
            images: uint8 (B, H, W, 3).
            labels: of the data, with B examples.

        Returns:
            Inputs, float32 (B, H, W, 3), and targets, with B examples.
        """
        ...

    def loss(self, model: nnx.Module, inputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The mean loss of some examples, float32, and how many of them the model gets right, a scalar."""
        ...

    def normalize(self, images: jax.Array) -> jax.Array:
        """What the model sees of images without changes: uint8 (B, H, W, 3) -> float32."""
        ...
