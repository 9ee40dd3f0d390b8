"""The directory of a run: where everything it writes lies, and what it was made with."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from zoo.atomic_file import replacing
from zoo.ops.lowering.measured import RULES_ALONE, Measurements, UnusableTableError, usable_cores
from zoo.ops.lowering.select import LOWERINGS
from zoo.training import metrics, processes
from zoo.training.config import CONFIG_FILE, TrainConfig, differences, to_dict
from zoo.training.devices import Devices
from zoo.training.processes import ProcessesError
from zoo.training.run_lock import LOCK_FILE, run_lock
from zoo.training.start_weights import StartWeights

# What a resumed run may change: the rest decides what the checkpoint holds or what its steps meant.
_CHANGEABLE = (
    "epochs",
    "eval_batch_size",
    "checkpoint_every",
    "compilation_cache",
    "data.directory",
    "data.workers",
    "devices",
    "remat",
    "optimizer.split_state",
)

_PACKAGES_OF_BITS = ("jax", "jaxlib", "flax", "optax", "numpy")  # other versions of which may round otherwise
_SECONDS_TO_SEE = 10.0  # how long another process may take to see a file


class RunDirectoryError(ValueError):
    """A run cannot start or resume in a directory."""


@dataclass(frozen=True)
class RunDirectory:
    """The files of a run.

    Attributes:
        root: the directory itself. `MetricsLog` writes `metrics.jsonl` and `tensorboard/` into it.
    """

    root: Path

    @property
    def config(self) -> Path:
        return self.root / CONFIG_FILE

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def lowerings(self) -> Path:
        return self.root / "lowerings.json"

    @property
    def start_weights(self) -> Path:
        return self.root / "start_weights.json"

    @property
    def data(self) -> Path:
        return self.root / "data.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def report(self) -> Path:
        return self.root / "report.png"

    @property
    def weights(self) -> Path:
        return self.root / "weights.safetensors"

    @classmethod
    @contextmanager
    def create(cls, config: TrainConfig) -> Iterator[RunDirectory]:
        """Makes the directory of a new run, and keeps other processes out of it until the context is left.

        A directory that was made here is removed again if an exception comes before the run is described in it.

        Raises:
            RunDirectoryError: if there is a run in it already, or it cannot be made.
            RunInUseError: if another process is about to begin a run in it.
        """
        run, is_new = cls._make(config)
        root = run.root
        with run_lock(root):
            if run.config.exists():
                raise RunDirectoryError(f"{root} holds a run already; continue it with --resume {root}")
            try:
                yield run
            finally:
                if is_new and not run.config.exists():
                    shutil.rmtree(root, ignore_errors=True)

    @classmethod
    @contextmanager
    def reopen(cls, root: Path, checkpoint_every: int) -> Iterator[RunDirectory]:
        """Opens the directory of an earlier run, and keeps other processes out of it until the context is left.

        Args:
            root: the directory.
            checkpoint_every: epochs between the run's checkpoints.

        Raises:
            RunDirectoryError: if the checkpoints that the run must have had are gone.
            RunInUseError: if another process works in it.
        """
        run = cls(root)
        with run_lock(root):
            history = metrics.read(root)
            if history and run._has_lost_checkpoints(history[-1].epoch, checkpoint_every):
                raise RunDirectoryError(
                    f"{root} has the figures of {history[-1].epoch} epochs, but its checkpoints are gone from "
                    f"{run.checkpoints}: it cannot go on; to train from the start, choose another directory"
                )
            yield run

    @classmethod
    def _make(cls, config: TrainConfig) -> tuple[RunDirectory, bool]:
        """The directory of a new run, and whether it did not exist before."""
        root = config.output or Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            if config.output is not None:
                is_new = not root.exists()
                root.mkdir(parents=True, exist_ok=True)
                return cls(root), is_new
            number = 1
            while True:
                run = cls(root if number == 1 else root.with_name(f"{root.name}-{number}"))
                try:
                    run.root.mkdir(parents=True)
                    return run, True
                except FileExistsError:  # of a run that started in the same second
                    number += 1
        except OSError as error:
            raise RunDirectoryError(f"cannot make the run directory {root}: {error.strerror}") from error

    def _has_lost_checkpoints(self, epoch: int, checkpoint_every: int) -> bool:
        """Whether there are none although a process has written the figures of an epoch, wherever it was killed.

        The figures come before the checkpoint, and that is written while training goes on; but before the next one is
        begun it is whole.
        """
        if not self.checkpoints.is_dir():  # it is made before there are figures
            return True
        if self._has_checkpoints:
            return False
        is_damaged = any(path.name.startswith("damaged") for path in self.checkpoints.iterdir())
        return is_damaged or (epoch - 1) // checkpoint_every >= 2

    @property
    def _has_checkpoints(self) -> bool:
        return any(path.name.isdecimal() for path in self.checkpoints.glob("*"))

    def describe(
        self,
        config: TrainConfig,
        devices: Devices,
        lowerings: Measurements = RULES_ALONE,
        start_weights: StartWeights | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes `lowerings.json`, `data.json`, `start_weights.json` if there are some, and the config and environment.

        Args:
            config: of the run, with all choices made; what makes the directory that of a run.
            devices: that it is on.
            lowerings: with which it is computed.
            start_weights: what it keeps of those that it started from.
            data: what `check_data` is to find the same.
        """
        if data is not None:
            _write_json(self.data, data)
        if start_weights is not None:
            _write(self.start_weights, start_weights.to_json())
        _write(self.lowerings, lowerings.to_json())
        # After what it is resumed with: this makes the directory that of a run.
        _write_json(self.config, to_dict(config))
        _write_json(self.environment, {"devices": devices.describe(), **describe_environment()})

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Raises RunDirectoryError if the data is no longer what `describe` was told, or that cannot be read."""
        try:
            before = json.loads(self.data.read_text(encoding="utf-8"))
            changed = [name for name, value in data.items() if before[name] != value]
        except FileNotFoundError:
            warnings.warn(f"there is no {self.data}: whether the data is still the same is not checked", stacklevel=2)
            return
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(f"{self.data}, which says what the run has seen, is damaged: {error}") from error
        if changed:
            was, now = (values[changed[0]] for values in (before, data))
            said = f", was {was} and is {now}" if isinstance(was, int) else ""
            raise RunDirectoryError(
                f"the data is not what {self.root} was trained on: {changed[0]} changed{said}; it cannot go on with it"
            )

    def environment_before(self) -> dict[str, Any]:
        """What `describe` has written of the environment; empty if that cannot be read."""
        try:
            return dict(json.loads(self.environment.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def start_weights_before(self) -> StartWeights | None:
        """What the run keeps of its start weights, if it has checkpoints and so need not read them again.

        Raises:
            RunDirectoryError: as `read_start_weights`.
        """
        return self.read_start_weights() if self._has_checkpoints else None

    def read_start_weights(self) -> StartWeights | None:
        """What the run keeps of its start weights; None if it started from none.

        Raises:
            RunDirectoryError: if the file that says so is damaged.
        """
        if not self.start_weights.exists():
            return None
        try:
            return StartWeights.from_json(self.start_weights.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunDirectoryError(f"{self.start_weights} is damaged: {error}") from error

    def lowerings_before(self) -> Measurements:
        """The measured lowerings that the run has been computed with; those of the rules, with a warning, if not known.

        Raises:
            RunDirectoryError: if the file that says so is damaged.
        """
        try:
            return Measurements.from_json(self.lowerings.read_text(encoding="utf-8"), LOWERINGS)
        except FileNotFoundError:
            warnings.warn(f"there is no {self.lowerings}: the rules choose the lowerings", stacklevel=2)
            return RULES_ALONE
        except (UnusableTableError, UnicodeDecodeError) as error:
            raise RunDirectoryError(
                f"{self.lowerings}, which says what the run has been computed with, is damaged: {error}; without it "
                "the run goes on with the lowerings of the rules, and not to the same bits"
            ) from error


@contextmanager
def open_together(opening: AbstractContextManager[RunDirectory]) -> Iterator[RunDirectory]:
    """The directory that the first process of a run opens, in all of its processes.

    Raises:
        ProcessesError: in the others, if the first cannot open it; in all, if one does not see what is in it.
    """
    with ExitStack() as stack:
        opened: list[RunDirectory] = []

        def open_first() -> dict[str, Any]:
            opened.append(stack.enter_context(opening))
            root = opened[0].root.resolve()
            return {"root": str(root), "lock": (root / LOCK_FILE).read_text()}

        seen = processes.from_first(open_first)
        run = opened[0] if opened else RunDirectory(Path(seen["root"]))
        processes.together(lambda: _see(run.root / LOCK_FILE, seen["lock"]))
        yield run


def _see(file: Path, text: str) -> None:
    """Raises ProcessesError if a file has not got this text within a few seconds, as of a file system that caches."""
    deadline = time.monotonic() + _SECONDS_TO_SEE
    while not file.is_file() or file.read_text() != text:
        if time.monotonic() > deadline:
            raise ProcessesError(
                f"{socket.gethostname()} does not see what process 0 has written into {file.parent}: the directory of "
                "a run must be on a disk that all hosts share; --output says where"
            )
        time.sleep(0.1)


def check_resumable(root: Path, saved: TrainConfig, config: TrainConfig) -> None:
    """Raises RunDirectoryError if the config differs from the saved one in a field that may not change."""
    changed = {field: values for field, values in differences(saved, config).items() if field not in _CHANGEABLE}
    if changed:
        listed = ", ".join(f"{field} (was {before!r}, now {now!r})" for field, (before, now) in changed.items())
        raise RunDirectoryError(f"the config does not fit the checkpoints of {root}: {listed}")


def basis_of_bits(devices: Devices) -> dict[str, str]:
    """What the bits of a run depend on beside its config and its data: devices, and versions of packages."""
    return {"devices": devices.describe(), **{package: version(package) for package in _PACKAGES_OF_BITS}}


def describe_environment() -> dict[str, Any]:
    """Versions, device and source revision, for whoever wants to repeat a run."""
    device = jax.devices()[0]
    packages = (*_PACKAGES_OF_BITS, "orbax-checkpoint")
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "platform": device.platform,
        "device": device.device_kind,
        "device_count": jax.device_count(),
        "cpu_count": usable_cores(),
        "machine": platform.platform(),
        "git": _git_revision(),
    }


def _git_revision() -> dict[str, Any] | None:
    """The commit of the source and whether it was changed since, or None outside a git checkout."""

    def git(*arguments: str) -> str:
        source = Path(__file__).parent
        return subprocess.run(
            ["git", *arguments], cwd=source, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _write_json(path: Path, values: Any) -> None:
    _write(path, json.dumps(values, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
