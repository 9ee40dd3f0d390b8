"""What the benchmarks share: PyTorch in a process of its own, and timing several things in turn."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from zoo.ops.lowering.measured import processor, usable_cores


class Torch:
    """A PyTorch process that builds and times what it is told to (`torch_side.py`).

    Args:
        python: an interpreter that has torch.

    Raises:
        RuntimeError: if it has none.
    """

    def __init__(self, python: str) -> None:
        script = Path(__file__).parent / "torch_side.py"
        # In the environment of its users, without what `restart_with_huge_pages` added.
        environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        self._process = subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.versions = self._read()

    def build(self, name: str, kind: str, **what: Any) -> None:
        self._ask({"build": name, "kind": kind, **what})

    def cost(self, net: str, size: int) -> dict[str, int]:
        """The `parameters` of a net, and its `macs` for one image of so many pixels a side."""
        return self._ask({"cost": net, "size": size})

    def time(self, name: str, **how: Any) -> float:
        """Seconds of one call."""
        return float(self._ask({"time": name, **how})["seconds"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the PyTorch process ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def find_torch(python: str | None) -> Torch | None:
    """PyTorch of the given interpreter, or of this one if it has it."""
    if python is None:
        from importlib.util import find_spec

        if find_spec("torch") is None:
            return None
    return Torch(python or sys.executable)


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - started


def medians(timers: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median seconds of each timer, all taken in turn.

    The first call of each is not counted, unless it took more than five seconds: then it is the only one.
    """
    first = {name: timer() for name, timer in timers.items()}
    measured: dict[str, list[float]] = {name: [taken] if taken > 5 else [] for name, taken in first.items()}
    for _ in range(rounds):
        for name, timer in timers.items():
            if first[name] <= 5:
                time.sleep(0.02)  # until the threads of the one before have stopped spinning
                measured[name].append(timer())
    return {name: statistics.median(values) for name, values in measured.items()}


class Table:
    """A Markdown table."""

    def __init__(self, *columns: str) -> None:
        self._rows = [columns, ("---",) * len(columns)]

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    @property
    def lines(self) -> list[str]:
        return [f"| {' | '.join(row)} |" for row in self._rows]

    def print(self) -> None:
        print("\n".join(self.lines), end="\n\n")


def machine(torch: Torch | None) -> str:
    """One line on what the figures were measured with."""
    parts = [f"jax {jax.__version__}", f"Python {platform.python_version()}"]
    if torch is not None:
        parts.append(f"torch {torch.versions['torch']}")
    device = jax.devices()[0]
    kind = processor() if device.platform == "cpu" else device.device_kind
    return ", ".join([*parts, f"{kind}, {usable_cores()} cores"])
