"""Runs of the tiny net in processes of their own, forked from one that has imported everything: a start is cheap."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import warnings
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "orbax.checkpoint",
        "tensorboardX.event_file_writer",
        "tensorboardX.summary",
        "tests.e2e.tiny_train",
        "zoo.training.loop",
        "zoo.training.run_directory",
    ]
)

ARGUMENTS = [
    *("--model.name", "tiny", "--model.width", "None"),
    *("--data.train-examples", "16", "--batch-size", "8", "--epochs", "30"),  # 2 steps an epoch
    *("--data.test-examples", "8", "--ema-decay", "0.9", "--augment.cutout", "6", "--no-compilation-cache"),
]


def start_training(
    arguments: list[str], output: Path, *, place: str = "nowhere", step: int = 0, file_size: int = -1
) -> ForkServerProcess:
    """A process that trains the tiny net.

    Args:
        arguments: of `train.py`.
        output: a directory; what the process prints goes to the files `stdout` and `stderr` in it.
        place, step: for `tiny_train.py`.
        file_size: the largest file that it may write, in bytes; -1 for no limit.
    """
    output.mkdir(parents=True, exist_ok=True)
    for name in ("stdout", "stderr"):
        (output / name).write_text("")
    process = _CONTEXT.Process(target=_train, args=(place, step, arguments, str(output), file_size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.start()
    return process


@dataclass(frozen=True)
class TinyRun:
    """A run of the tiny net, which is begun or, if it has a config, resumed by each process.

    Attributes:
        root: its directory.
        output: another one, for what the newest process prints.
    """

    root: Path
    output: Path

    def start(self, *, place: str = "nowhere", step: int = 0, file_size: int = -1) -> ForkServerProcess:
        """A process that trains; the arguments are those of `start_training`."""
        return start_training(self.arguments, self.output, place=place, step=step, file_size=file_size)

    def finish(self, **accident: Any) -> int:
        """Trains in a process until it ends, and gives its exit status; the arguments are those of `start`."""
        process = self.start(**accident)
        process.join(120)
        assert process.exitcode is not None
        return process.exitcode

    @property
    def arguments(self) -> list[str]:
        is_begun = (self.root / "config.json").exists()
        return ["--resume", str(self.root)] if is_begun else [*ARGUMENTS, "--output", str(self.root)]

    @property
    def stdout(self) -> str:
        return (self.output / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.output / "stderr").read_text()

    @property
    def results(self) -> tuple[bytes, list[dict]]:
        """The weights, and the figures without what depends on the clock."""
        lines = [json.loads(line) for line in (self.root / "metrics.jsonl").read_text().splitlines()]
        figures = [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]
        return (self.root / "weights.safetensors").read_bytes(), figures


def _train(place: str, step: int, arguments: list[str], output: str, file_size: int) -> None:
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(os.path.join(output, name), os.O_WRONLY), descriptor)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, -1))
    from tests.e2e.tiny_train import run

    sys.exit(run(place, step, arguments))
