"""The directory of a run: where everything it writes lies, and what it was made with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from zoo.training.config import CONFIG_FILE, TrainConfig, differences, to_dict

# What a resumed run may change: the rest decides what the checkpoint holds or what its steps meant.
_CHANGEABLE = (
    "epochs",
    "eval_batch_size",
    "checkpoint_every",
    "compilation_cache",
    "data.directory",
    "data.workers",
)


class RunDirectoryError(Exception):
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
    def create(cls, config: TrainConfig) -> RunDirectory:
        """Makes the directory of a new run.

        Raises:
            RunDirectoryError: if there is a run in it already, or it cannot be made.
        """
        run = cls(config.output or Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        if run.config.exists():
            raise RunDirectoryError(f"{run.root} holds a run already; continue it with --resume {run.root}")
        try:
            run.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirectoryError(f"cannot make the run directory {run.root}: {error.strerror}") from error
        return run

    def describe(self, config: TrainConfig) -> None:
        """Writes `config.json` and `environment.json`."""
        _write_json(self.config, to_dict(config))
        _write_json(self.environment, describe_environment())


def check_resumable(root: Path, saved: TrainConfig, config: TrainConfig) -> None:
    """Raises RunDirectoryError if the config differs from the saved one in a field that may not change."""
    changed = {field: values for field, values in differences(saved, config).items() if field not in _CHANGEABLE}
    if changed:
        listed = ", ".join(f"{field} (was {before!r}, now {now!r})" for field, (before, now) in changed.items())
        raise RunDirectoryError(f"the config does not fit the checkpoints of {root}: {listed}")


def describe_environment() -> dict[str, Any]:
    """Versions, device and source revision, for whoever wants to repeat a run."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "platform": device.platform,
        "device": device.device_kind,
        "device_count": jax.device_count(),
        "cpu_count": os.cpu_count(),
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
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
