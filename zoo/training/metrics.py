"""The figures of a run, epoch by epoch: `metrics.jsonl` for people and scripts, and the same for TensorBoard.

`metrics.jsonl` is the record: it is on the disk before training goes on. The TensorBoard events are a view of it.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from zoo.atomic_file import naming, replacing

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
        more: what else the task records, from 0 to 1, by names that begin with `test_`, such as `test_mean_iou`.
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
    more: dict[str, float] = field(default_factory=dict)


def words(name: str) -> str:
    """The name of a figure of `EpochMetrics.more` as people read it: `test_mean_iou` -> `test mean IoU`."""
    return name.replace("_", " ").replace("iou", "IoU")


_FIELDS = {field.name for field in fields(EpochMetrics)}


class MetricsLog:
    """Appends to `metrics.jsonl` and to the TensorBoard events in `tensorboard/`; a context manager.

    Args:
        directory: of the run; it is made if it is not there.
        resume_step: the step that training goes on from. Lines of later steps belong to work that was lost and are
            dropped, as is a last line that a killed run left half-written: the file then reads as if the run had
            never been interrupted.

    Raises:
        ValueError: on entering, if `metrics.jsonl` has a broken line elsewhere.
        OSError: on entering or writing, if a file cannot be written; it names the file.
    """

    def __init__(self, directory: Path, resume_step: int = 0) -> None:
        self._path = directory / _FILE
        self._resume_step = resume_step

    def __enter__(self) -> MetricsLog:
        directory = self._path.parent
        directory.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            history = read(directory)
            kept = [metrics for metrics in history if metrics.step <= self._resume_step]
            if len(kept) < len(history):
                lost = ", ".join(str(metrics.epoch) for metrics in history[len(kept) :])
                warnings.warn(
                    f"training goes on from step {self._resume_step}: the figures of epoch {lost} are dropped and "
                    "will come again",
                    stacklevel=2,
                )
            with replacing(self._path) as path:
                path.write_text("".join(map(_to_line, kept)), encoding="utf-8")
        self._tensorboard = _TensorBoard(directory / "tensorboard", self._resume_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tensorboard.close()

    def write(self, metrics: EpochMetrics) -> None:
        """Records an epoch; it is on the disk when this returns, or nothing of it if it cannot be written."""
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with naming(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(_to_line(metrics))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            os.truncate(self._path, size)
            raise
        self._tensorboard.write(metrics)


class _TensorBoard:
    """An event file in a directory, written at once: without a thread that could fail unnoticed."""

    def __init__(self, directory: Path, resume_step: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        directory.mkdir(exist_ok=True)
        # The rest of the name is the time in seconds, and a file of the same name would be overwritten.
        self._directory = directory
        with naming(directory):
            self._writer = EventsWriter(str(directory / "events"), filename_suffix=f".from-step-{resume_step:09d}")
        self._add(resume_step + 1, session_log=SessionLog(status=SessionLog.START))  # hides what follows from there

    def write(self, metrics: EpochMetrics) -> None:
        from tensorboardX.summary import scalar

        for name, tag in _TENSORBOARD_TAGS.items():
            self._add(metrics.step, summary=scalar(tag, getattr(metrics, name)))
        for name, value in metrics.more.items():
            self._add(metrics.step, summary=scalar(f"{name.removeprefix('test_')}/test", value))

    def close(self) -> None:
        with suppress(OSError):  # everything is written, unless that has failed before
            self._writer.close()

    def _add(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with naming(self._directory):
            self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
            self._writer.flush()


def read(directory: Path) -> list[EpochMetrics]:
    """The epochs in the `metrics.jsonl` of a run's directory, none if there is no such file.

    A number that is not finite is written as null, since JSON cannot express it, and is read as NaN. A half-written
    last line is left out with a warning.

    Raises:
        ValueError: if another line is broken.
    """
    path = directory / _FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    history = []
    for number, line in enumerate(lines, start=1):
        try:
            values: dict[str, Any] = json.loads(line)
            values = {name: math.nan if value is None else value for name, value in values.items()}
            more = {name: values.pop(name) for name in values.keys() - _FIELDS if name.startswith("test_")}
            history.append(EpochMetrics(**values, more=more))
        except (json.JSONDecodeError, AttributeError, TypeError) as error:
            if number == len(lines) and not line.endswith("\n"):
                warnings.warn(f"the last line of {path} is half-written and left out", stacklevel=1)
                break
            raise ValueError(f"line {number} of {path} does not hold the figures of an epoch: {line!r}") from error
    return history


def _to_line(metrics: EpochMetrics) -> str:
    # float() and int() because figures may come as scalars of numpy or JAX.
    flat = asdict(metrics)
    flat |= flat.pop("more")
    values = {name: int(value) if name in ("step", "epoch") else float(value) for name, value in flat.items()}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return json.dumps(finite, allow_nan=False) + "\n"
