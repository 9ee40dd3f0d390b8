"""What changes during training: everything that a checkpoint must hold, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EpochSums:
    """Sums over the training examples of the epoch so far.

    Attributes:
        loss: float32 scalar, sum of the loss over examples.
        correct: scalar, how many of the examples the net gets right, as the task counts.
        examples: int32 scalar.
    """

    loss: jax.Array
    correct: jax.Array
    examples: jax.Array

    @property
    def mean_loss(self) -> float:
        return float(self.loss) / int(self.examples)

    @property
    def accuracy(self) -> float:
        return float(self.correct) / int(self.examples)

    @classmethod
    def zeros(cls, correct_dtype: DTypeLike) -> EpochSums:
        return cls(jnp.zeros(()), jnp.zeros((), correct_dtype), jnp.zeros((), jnp.int32))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """The state of a training run, a pytree of arrays.

    There is no random key in it: whatever is random at a step derives from the run's seed and `step`.

    Attributes:
        step: int32 scalar, how many steps were made.
        params: the model's parameters that are trained (an `nnx.State`).
        frozen: those that stay as they are, with the statistics of their batch norms (an `nnx.State`).
        batch_stats: the rest of its state that training changes, such as running means (an `nnx.State`).
        optimizer: Optax's state.
        average: exponential moving averages of (params, batch_stats), or None without.
        sums: of the epoch so far.
        first_bad_step: int32 scalar, the first step whose loss was not finite, or -1.
    """

    step: jax.Array
    params: Any
    frozen: Any
    batch_stats: Any
    optimizer: Any
    average: tuple[Any, Any] | None
    sums: EpochSums
    first_bad_step: jax.Array

    @property
    def evaluated(self) -> tuple[Any, Any, Any]:
        """What is tested and saved: (params, batch_stats), the averages where they are kept, and what is frozen."""
        params, batch_stats = (self.params, self.batch_stats) if self.average is None else self.average
        return params, batch_stats, self.frozen

    def first_non_finite(self) -> str | None:
        """The name of the first array that holds NaN or an infinity, or None if there is none."""
        paths, leaves = zip(*jax.tree.leaves_with_path(self), strict=True)
        finite = np.asarray(_are_finite(leaves))
        if finite.all():
            return None
        return jax.tree_util.keystr(paths[int(finite.argmin())], simple=True, separator=".").removesuffix(".value")


@jax.jit
def _are_finite(leaves: tuple[jax.Array, ...]) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])
