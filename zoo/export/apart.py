"""Work in processes of their own: what runs, converts and quantises an exported net knows nothing of `zoo`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.export.errors import ExportError

_PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Ran:
    """What an exported net gave.

    Attributes:
        outputs: of each of the inputs.
        seconds: of a call with one image, the median of several.
        runtime: by what it was run, with its version.
    """

    outputs: list[np.ndarray]
    seconds: float
    runtime: str


def run_apart(form: str, path: Path, inputs: list[np.ndarray]) -> Ran:
    """Loads an exported net in a process without `zoo`, and runs it there on the CPU.

    Args:
        form: "stablehlo", "litert" or "onnx".
        path: of the net.
        inputs: batches of images as it takes them, the first of at least one.

    Raises:
        ExportError: if it cannot be loaded or run.
    """
    with tempfile.TemporaryDirectory(prefix="zoo-export-") as folder:
        given, results = Path(folder) / "inputs.npz", Path(folder) / "results.npz"
        np.savez(given, *inputs)
        start_program("run", form, path, given, results, failing=f"{form} of this net cannot be run")
        with np.load(results) as found:
            outputs = [found[f"output{number}"] for number in range(len(inputs))]
            return Ran(outputs, float(found["seconds"]), str(found["runtime"]))


def start_program(name: str, *arguments: str | Path, failing: str) -> None:
    """Runs one of `zoo/export/programs` to its end, without showing what it prints.

    Args:
        name: of the file.
        *arguments: of the program.
        failing: the beginning of the message if it fails.

    Raises:
        ExportError: if it fails; the message ends with its last words.
    """
    ended = subprocess.run(
        [sys.executable, "-P", _PROGRAMS / f"{name}.py", *arguments],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},  # the accelerator's memory is this process's
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"it ended with status {ended.returncode}"
        raise ExportError(f"{failing}: {reason}")
