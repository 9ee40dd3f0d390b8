"""Batches of examples that do not fit in memory, read by Grain in threads and, on request, in worker processes.

`stream` is for training: endless and shuffled. `batches` is for evaluation: one pass, in order.
"""

from __future__ import annotations

import atexit
import signal
import weakref
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from zoo.data.balance import BalancedDraws
from zoo.data.dataset import Source

Batch = tuple[np.ndarray, np.ndarray]

_WHOLE = slice(None)
_READ_OPTIONS = grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)  # in each process; counted in batches


def stream(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    share: slice = _WHOLE,
    start_step: int = 0,
    num_workers: int = 0,
    draws: BalancedDraws | None = None,
) -> Generator[Batch, None, None]:
    """Endless batches, shuffled anew each epoch.

    An epoch is `len(source) // batch_size` batches; which examples are left over differs from epoch to epoch. Batch
    number `step` depends on `seed` and `step` alone, so a stream that starts at a later step goes on exactly as one
    that started at 0 would, and reads nothing of what it skips. Where several processes read a share each, their
    shares together are that batch.

    Args:
        source: must be picklable if there are workers.
        batch_size: examples a batch.
        seed: of the order, from 0 to 2**32 - 1.
        share: which examples of each batch are read; all of them by default.
        start_step: number of the first batch.
        num_workers: processes that read; 0 reads in threads of this process.
        draws: which examples are taken instead, with repetitions; None for each once an epoch.

    Yields:
        images, uint8 (B, H, W, 3), and labels, int32 (B,) or uint8 (B, H, W), where B is the size of the share.

    Raises:
        ValueError: if an argument is out of range and, while reading, if the images of a batch differ in size, or
            masks from their images. What the source raises arrives as it is, in the place of the batch that it spoilt.
    """
    if not 1 <= batch_size <= len(source):
        raise ValueError(f"batch_size must be from 1 to the number of examples, {len(source)}, not {batch_size}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1, not {seed}")
    if start_step < 0 or num_workers < 0:
        raise ValueError(f"start_step and num_workers must not be negative: {start_step}, {num_workers}")
    # A seed given to `shuffle` itself would make epoch 1 of seed 0 the same as epoch 0 of seed 1.
    examples = grain.MapDataset.range(len(source)).seed(seed)
    chosen = examples.shuffle() if draws is None else examples.random_map(_Draw(draws))
    indices = chosen.batch(batch_size, drop_remainder=True)
    steps = indices.map(_Reader(source, share)).repeat()
    reader = steps[start_step:].to_iter_dataset(_READ_OPTIONS)
    if num_workers:
        _let_grain_read_its_flags()
        options = grain.MultiprocessingOptions(num_workers=num_workers)
        reader = reader.mp_prefetch(options, worker_init_fn=_ignore_interrupts).map(_own)
    return _closing(reader)


def batches(source: Source, batch_size: int, share: slice = _WHOLE) -> Generator[Batch, None, None]:
    """All examples once, in order; the last batch is filled up with the first ones, so that all have one size.

    Args:
        source: the examples.
        batch_size: examples a batch, at least 1.
        share: which examples of each batch are read; all of them by default.

    Yields:
        images, uint8 (B, H, W, 3), and labels, int32 (B,) or uint8 (B, H, W), where B is the size of the share.

    Raises:
        ValueError: if `batch_size` is less than 1 and, while reading, if the images of a batch differ in size, or masks
            from their images. What the source raises arrives as it is.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    count = -(-len(source) // batch_size) * batch_size
    indices = grain.MapDataset.range(count).map(lambda index: index % len(source)).batch(batch_size)
    return _closing(indices.map(_Reader(source, share)).to_iter_dataset(_READ_OPTIONS))


class _Draw(grain.transforms.RandomMap):
    """Takes what is drawn instead of an index."""

    def __init__(self, draws: BalancedDraws) -> None:
        self._draws = draws

    def random_map(self, element: Any, rng: np.random.Generator) -> int:
        return self._draws.draw(rng)


class _Reader:
    """From the indices of a batch to its images and labels.

    It hands out errors instead of raising them: `_closing` raises what reaches the end of the pipeline. Raised within
    Grain, an error of a worker process would come with the tracebacks of two processes, and what other workers had read
    would stay in shared memory.

    Args:
        source: the examples.
        share: which of the indices are read.
    """

    def __init__(self, source: Source, share: slice) -> None:
        self._source, self._share = source, share

    def __call__(self, indices: np.ndarray) -> Batch | Exception:
        try:
            return _stack([self._source[index] for index in indices[self._share].tolist()])
        except Exception as error:
            return error.with_traceback(None)


def _stack(examples: Sequence[Mapping[str, Any]]) -> Batch:
    images = [np.asarray(example["image"]) for example in examples]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise ValueError(f"the images of a batch must have one size, not {', '.join(map(str, shapes))}")
    labels = [np.asarray(example["label"]) for example in examples]
    size = shapes[0][:2]
    for label in labels:
        if label.ndim and (label.dtype != np.uint8 or label.shape != size):
            raise ValueError(f"a mask must be uint8 of its image's size, {size}, not {label.dtype} {label.shape}")
    stacked = np.stack(labels)
    return np.stack(images), stacked if stacked.ndim > 1 else stacked.astype(np.int32)


def _own(batch: Batch | Exception) -> Batch | Exception:
    """Copies a batch out of the shared memory in which a process hands it over, and which Grain takes back."""
    if isinstance(batch, Exception):
        return batch
    images, labels = batch
    return np.array(images), np.array(labels)


def _closing(reader: grain.IterDataset) -> Generator[Batch, None, None]:
    """The elements of `reader`, whose threads and processes end with the iteration, however it ends."""

    def elements() -> Generator[Batch, None, None]:
        iterator = iter(reader)
        try:
            for batch in iterator:
                if isinstance(batch, Exception):
                    raise batch
                yield batch
        finally:
            iterator.close()

    iteration = elements()
    _unfinished.add(iteration)
    return iteration


_unfinished: weakref.WeakSet[Generator[Batch, None, None]] = weakref.WeakSet()


@atexit.register
def _close_unfinished() -> None:
    """Ends what is still held at the end of the program: later, Grain would no longer find the modules it needs."""
    for iteration in list(_unfinished):
        iteration.close()


def _ignore_interrupts(*_: int) -> None:
    """Ctrl-C reaches every process of a terminal; what it means for the reading is up to the one that reads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _let_grain_read_its_flags() -> None:
    """Grain's processes ask for absl flags, which absl refuses until a program has parsed its command line with it."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
