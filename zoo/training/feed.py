"""How examples reach the step: from the devices' own memory, or streamed through Grain."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import numpy as np

from zoo.data.dataset import ArraySplit, Source
from zoo.data.stream import batches, stream
from zoo.training.devices import Devices
from zoo.training.state import TrainState
from zoo.training.step import Trainer
from zoo.training.tasks.task import Findings

_UNKNOWN_MEMORY = 16 * 2**30  # bytes that a device is taken to have if it does not tell, as CPUs do not
_REPLICATED_SHARE = 16  # a data set is on every device up to this fraction of its memory: 1/16


class Feed(Protocol):
    """Runs training steps on a training set."""

    def advance(self, state: TrainState, num_steps: int) -> TrainState:
        """Makes `num_steps` steps, which must lie in one epoch. The given state must not be used again."""
        ...

    def close(self) -> None:
        """Ends what reads ahead."""
        ...


def is_replicated(split: ArraySplit, devices: Devices) -> bool:
    """Whether each device has the whole data set, and not only its share of the rows, because it is small."""
    memory = (devices.mesh.local_devices[0].memory_stats() or {}).get("bytes_limit", _UNKNOWN_MEMORY)
    return devices.count == 1 or split.images.nbytes <= memory // _REPLICATED_SHARE


class ResidentFeed:
    """Keeps the whole training set on the devices as uint8; one dispatch makes many steps.

    A data set that is split between the devices costs an exchange of each batch, as uint8, since its examples can lie
    anywhere.

    Args:
        trainer: the step.
        split: the training set.
        state: of the shapes to compile for; it is not changed.
    """

    def __init__(self, trainer: Trainer, split: ArraySplit, state: TrainState) -> None:
        devices = trainer.devices
        if is_replicated(split, devices):
            self._images = devices.place(split.images, devices.replicated)
        else:
            self._images = devices.place(_padded(split.images, devices.count), devices.split)
        self._labels = devices.place(split.labels, devices.replicated)
        train_chunk = jax.jit(trainer.train_chunk, donate_argnames="state", out_shardings=trainer.shardings_of(state))
        with devices.entered():
            self._train_chunk = train_chunk.lower(state, self._images, self._labels, np.int32(1)).compile()

    def advance(self, state: TrainState, num_steps: int) -> TrainState:
        return self._train_chunk(state, self._images, self._labels, np.int32(num_steps))

    def close(self) -> None:
        pass


class StreamFeed:
    """Takes batches from Grain, one a dispatch; while the devices work on one, the next is read and sent to them.

    Each process reads its own share of every batch.

    Args:
        trainer: the step.
        source: the training set.
        state: to start from: the stream begins at its step.
        image_size: height and width of the images.
        workers: processes that read.
    """

    def __init__(self, trainer: Trainer, source: Source, state: TrainState, *, image_size: int, workers: int) -> None:
        config, self._devices = trainer.config, trainer.devices
        self._train_step = trainer.lower_step(state, image_size).compile()
        self._batches = stream(
            source,
            batch_size=config.batch_size,
            seed=config.seed,
            share=self._devices.share_of(config.batch_size),
            start_step=int(state.step),
            num_workers=workers,
            draws=trainer.task.draws,
        )

    def advance(self, state: TrainState, num_steps: int) -> TrainState:
        for _ in range(num_steps):
            batch = self._devices.join(next(self._batches))  # while the step before is being computed
            state = self._train_step(state, *batch)
        return state

    def close(self) -> None:
        self._batches.close()


class Evaluator:
    """Lets the task judge what a net makes of a test set that is kept on the devices or streamed to them.

    The last batch is filled up with examples that do not count: each example counts exactly once.

    Args:
        trainer: gives `judge`.
        source: the test set.
        batch_size: examples at a time, rounded up to a multiple of the devices.
    """

    def __init__(self, trainer: Trainer, source: Source, batch_size: int) -> None:
        self._task, self._source, self._devices = trainer.task, source, trainer.devices
        count = self._devices.count
        self._batch_size = -(-min(batch_size, len(source)) // count) * count
        replicated = self._devices.replicated
        if isinstance(source, ArraySplit):
            padded = (_padded(array, self._batch_size) for array in (source.images, source.labels))
            images, labels = (array.reshape(-1, self._batch_size, *array.shape[1:]) for array in padded)
            counts = np.arange(images.shape[0] * images.shape[1]).reshape(images.shape[:2]) < len(source)
            self._chunks = self._devices.place((images, labels, counts), self._devices.split_along(1))
            self._judge = jax.jit(trainer.judge_chunks, out_shardings=replicated)
        else:
            self._judge = jax.jit(trainer.judge, out_shardings=replicated)

    def __call__(self, state: TrainState) -> Findings:
        """The findings of the whole test set, in every process."""
        judged: list[Any] = []
        with self._devices.entered():
            if isinstance(self._source, ArraySplit):
                chunks = jax.tree.map(np.asarray, self._judge(state, *self._chunks))
                count = len(self._chunks[0])
                judged = [jax.tree.map(lambda array, number=number: array[number], chunks) for number in range(count)]
            else:
                share = self._devices.share_of(self._batch_size)
                for number, batch in enumerate(batches(self._source, self._batch_size, share)):
                    counts = np.arange(self._batch_size) < len(self._source) - number * self._batch_size
                    joined = self._devices.join((*batch, counts[share]))
                    judged.append(jax.tree.map(np.asarray, self._judge(state, *joined)))
        return self._task.findings(judged, len(self._source))


def _padded(rows: np.ndarray, multiple: int) -> np.ndarray:
    """With the first rows once more at the end, so that their number is a multiple of the given one."""
    return np.resize(rows, (-(-len(rows) // multiple) * multiple, *rows.shape[1:]))
