"""How examples reach the step: from the device's own memory, or streamed through Grain."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data.dataset import ArraySplit, Source
from zoo.data.stream import batches, stream
from zoo.training.state import TrainState
from zoo.training.step import Trainer


class Feed(Protocol):
    """Runs training steps on a training set."""

    def advance(self, state: TrainState, num_steps: int) -> TrainState:
        """Makes `num_steps` steps, which must lie in one epoch. The given state must not be used again."""
        ...


class ResidentFeed:
    """Keeps the whole training set on the device as uint8; one dispatch makes many steps.

    Args:
        trainer: the step.
        split: the training set.
        state: of the shapes to compile for; it is not changed.
    """

    def __init__(self, trainer: Trainer, split: ArraySplit, state: TrainState) -> None:
        self._images, self._labels = jax.device_put((split.images, split.labels))
        train_chunk = jax.jit(trainer.train_chunk, donate_argnames="state")
        self._train_chunk = train_chunk.lower(state, self._images, self._labels, jnp.int32(1)).compile()

    def advance(self, state: TrainState, num_steps: int) -> TrainState:
        return self._train_chunk(state, self._images, self._labels, jnp.int32(num_steps))


class StreamFeed:
    """Takes batches from Grain, one a dispatch; while the device works on one, the next is read.

    Args:
        trainer: the step.
        source: the training set.
        state: to start from: the stream begins at its step.
        image_size: height and width of the images.
        workers: processes that read.
    """

    def __init__(self, trainer: Trainer, source: Source, state: TrainState, *, image_size: int, workers: int) -> None:
        config = trainer.config
        images = jax.ShapeDtypeStruct((config.batch_size, image_size, image_size, 3), jnp.uint8)
        labels = jax.ShapeDtypeStruct((config.batch_size,), jnp.int32)
        train_step = jax.jit(trainer.train_step, donate_argnames="state")
        self._train_step = train_step.lower(state, images, labels).compile()
        self._batches = stream(
            source,
            batch_size=config.batch_size,
            seed=config.seed,
            start_step=int(state.step),
            num_workers=workers,
        )

    def advance(self, state: TrainState, num_steps: int) -> TrainState:
        for _ in range(num_steps):
            images, labels = next(self._batches)
            state = self._train_step(state, jnp.asarray(images), jnp.asarray(labels))
        return state


class Evaluator:
    """Classifies a test set that is kept on the device or streamed to it.

    Args:
        trainer: gives `predict`.
        source: the test set.
        batch_size: examples at a time.
    """

    def __init__(self, trainer: Trainer, source: Source, batch_size: int) -> None:
        self._source = source
        self._batch_size = min(batch_size, len(source))
        self._predict = jax.jit(trainer.predict)
        self._predict_chunks = jax.jit(trainer.predict_chunks)
        if isinstance(source, ArraySplit):
            missing = -len(source) % self._batch_size
            padded = np.concatenate([source.images, source.images[:missing]])
            self._chunks = jax.device_put(padded.reshape(-1, self._batch_size, *padded.shape[1:]))

    def __call__(self, state: TrainState) -> tuple[np.ndarray, np.ndarray]:
        """Logits (N, classes), float32, and labels (N,), int32, of the whole test set."""
        if isinstance(self._source, ArraySplit):
            logits = np.asarray(self._predict_chunks(state, self._chunks))
            return logits.reshape(-1, logits.shape[-1])[: len(self._source)], self._source.labels
        parts = [
            (np.asarray(self._predict(state, jnp.asarray(images))), labels)
            for images, labels in batches(self._source, self._batch_size)
        ]
        return np.concatenate([logits for logits, _ in parts]), np.concatenate([labels for _, labels in parts])
