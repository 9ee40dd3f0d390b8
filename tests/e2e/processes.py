"""Runs of the tiny net in processes of their own, forked from one that has imported everything: a start is cheap."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import socket
import sys
import warnings
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

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

THREE_EPOCHS = [
    *("--model.name", "tiny", "--model.width", "None"),
    *("--data.train-examples", "96", "--batch-size", "8", "--epochs", "3"),  # 12 steps an epoch
    *("--data.test-examples", "40", "--ema-decay", "0.9", "--augment.cutout", "6", "--no-compilation-cache"),
]


THREE_EPOCHS_OF_MASKS = [
    *("--model.name", "tiny_segmenter", "--model.width", "None", "--data.name", "scenes"),
    *("--data.train-examples", "48", "--batch-size", "8", "--epochs", "3"),  # 6 steps an epoch
    *("--data.test-examples", "20", "--ema-decay", "0.9", "--augment.random-scale", "0.5", "2"),
    "--no-compilation-cache",
]


class Ended(NamedTuple):
    """What a process leaves."""

    returncode: int | None
    stdout: str
    stderr: str

    @classmethod
    def of(cls, process: ForkServerProcess, output: Path) -> Ended:
        """Waits for a process that prints into `output`."""
        process.join(300)
        stdout, stderr = ((output / name).read_text() for name in ("stdout", "stderr"))
        return cls(process.exitcode, re.sub(r"\[Gloo\].*\n", "", stdout), stderr)  # of the library, when it connects


def start_training(
    arguments: list[str],
    output: Path,
    *,
    place: str = "nowhere",
    step: int = 0,
    file_size: int = -1,
    devices: int = 1,
) -> ForkServerProcess:
    """A process that trains the tiny net.

    Args:
        arguments: of `train.py`.
        output: a directory; what the process prints goes to the files `stdout` and `stderr` in it.
        place, step: for `tiny_train.py`.
        file_size: the largest file that it may write, in bytes; -1 for no limit.
        devices: how many it sees.
    """
    output.mkdir(parents=True, exist_ok=True)
    for name in ("stdout", "stderr"):
        (output / name).write_text("")
    process = _CONTEXT.Process(target=_train, args=(place, step, arguments, str(output), file_size, devices))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.start()
    return process


def train_in_two(
    arguments: list[str], output: Path, *, place: str = "nowhere", step: int = 0, of_second: tuple[str, ...] = ()
) -> tuple[Ended, Ended]:
    """Two processes of one device each that train together; the accident happens to the second one.

    Args:
        arguments, output, place, step: as for `start_training`.
        of_second: arguments that the second process has besides.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    cluster = ["--distributed.coordinator-address", address, "--distributed.num-processes", "2"]
    # In `idle`, the first makes dispatches as short as those of the second: otherwise they would not meet.
    places = ("nowhere" if place == "nowhere" else "idle", place)
    processes = [
        start_training(
            [*arguments, *of_second * number, *cluster, "--distributed.process-id", str(number)],
            output / str(number),
            place=places[number],
            step=step,
        )
        for number in range(2)
    ]
    first, second = (Ended.of(process, output / str(number)) for number, process in enumerate(processes))
    return first, second


def figures(run: Path) -> list[dict]:
    """The metrics of a run, without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]


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
        return (self.root / "weights.safetensors").read_bytes(), figures(self.root)


def _train(place: str, step: int, arguments: list[str], output: str, file_size: int, devices: int) -> None:
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(os.path.join(output, name), os.O_WRONLY), descriptor)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, -1))
    import jax

    from tests.e2e.tiny_train import run

    jax.config.update("jax_num_cpu_devices", devices)
    sys.exit(run(place, step, arguments))
