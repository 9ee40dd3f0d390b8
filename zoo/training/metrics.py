"""The figures of a run, epoch by epoch: `metrics.jsonl` for people and scripts, and the same for TensorBoard.

`metrics.jsonl` is the record: it is on the disk before training goes on. The TensorBoard events are a view of it that
may miss the last second of a killed run.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX import SummaryWriter

_FILE = "metrics.jsonl"
_TENSORBOARD_TAGS = {
    "epoch": "epoch",
    "learning_rate": "learning_rate",
    "train_loss": "loss/train",
    "train_accuracy": "accuracy/train",
    "test_loss": "loss/test",
    "test_accuracy": "accuracy/test",
    "images_per_second": "speed/images_per_second",
    "seconds": "speed/seconds_per_epoch",
}


@dataclass(frozen=True)
class EpochMetrics:
    """What is recorded of an epoch: a line of `metrics.jsonl`.

    Attributes:
        step: training steps done since the start of the run.
        epoch: epochs done.
        learning_rate: of the epoch's last step.
        train_loss, train_accuracy: means over the epoch's training batches; accuracy is from 0 to 1.
        test_loss, test_accuracy: on the whole test set after the epoch.
        images_per_second: training speed.
        seconds: time the epoch's training steps took.
    """

    step: int
    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    images_per_second: float
    seconds: float


class MetricsLog:
    """Appends to `metrics.jsonl` and to the TensorBoard events in `tensorboard/`; a context manager.

    Args:
        directory: of the run; it is made if it is not there.
        resume_step: the step that training goes on from. Lines of later steps belong to work that was lost and are
            dropped, as is a last line that a killed run left half-written: the file then reads as if the run had
            never been interrupted.

    Raises:
        ValueError: on entering, if `metrics.jsonl` has a broken line elsewhere.
    """

    def __init__(self, directory: Path, resume_step: int = 0) -> None:
        self._directory = directory
        self._resume_step = resume_step

    def __enter__(self) -> MetricsLog:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / _FILE
        if path.exists():
            kept = [metrics for metrics in read(self._directory) if metrics.step <= self._resume_step]
            unfinished = path.with_name(path.name + ".unfinished")
            with unfinished.open("w", encoding="utf-8") as file:
                file.writelines(_to_line(metrics) for metrics in kept)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        self._file = path.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(
            str(self._directory / "tensorboard"),
            purge_step=self._resume_step + 1,
            flush_secs=1,
            # The rest of the name is the time in seconds, and a file of the same name would be overwritten.
            filename_suffix=f".from-step-{self._resume_step:09d}",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._tensorboard.close()

    def write(self, metrics: EpochMetrics) -> None:
        """Records an epoch; it is on the disk when this returns."""
        self._file.write(_to_line(metrics))
        self._file.flush()
        os.fsync(self._file.fileno())
        for name, tag in _TENSORBOARD_TAGS.items():
            self._tensorboard.add_scalar(tag, getattr(metrics, name), metrics.step)


def read(directory: Path) -> list[EpochMetrics]:
    """The epochs in the `metrics.jsonl` of a run's directory, none if there is no such file.

    A number that is not finite is written as null, for JSON has no other word for it, and is read as NaN. A
    half-written last line is left out.

    Raises:
        ValueError: if another line is broken.
    """
    path = directory / _FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    history = []
    for number, line in enumerate(lines, start=1):
        try:
            values: dict[str, Any] = json.loads(line)
            values = {name: math.nan if value is None else value for name, value in values.items()}
            history.append(EpochMetrics(**values))
        except (json.JSONDecodeError, AttributeError, TypeError) as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise ValueError(f"line {number} of {path} does not hold the figures of an epoch: {line!r}") from error
    return history


def _to_line(metrics: EpochMetrics) -> str:
    # float() and int() because figures may come as scalars of numpy or JAX.
    values = {
        name: int(value) if name in ("step", "epoch") else float(value) for name, value in asdict(metrics).items()
    }
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return json.dumps(finite, allow_nan=False) + "\n"
