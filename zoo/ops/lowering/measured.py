"""Lowerings that were measured on a device (`zoo tune`), which come before the rules.

They are kept in the user's cache, a file for each device and JAX version, and apply to nothing else. The choice is made
when a program is lowered: by the table of the innermost `use_measurements`, or else by that of the user's cache, which
is read once a process.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform as python_platform
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from zoo.atomic_file import replacing
from zoo.ops.lowering.geometry import ConvGeometry, Problem
from zoo.user_cache import user_cache_directory

_FORMAT = 1


class UnusableTableError(ValueError):
    """A file is no table of measurements, is damaged, or was written by another version of this project."""


@dataclass(frozen=True)
class Measurement:
    """How long one computation takes with each of its lowerings.

    Attributes:
        seconds: lowering -> seconds; those of a first look for one that was given up, infinite for one that failed.
        chosen: the lowering to take; None for that of the rules, because no other wins.
    """

    seconds: Mapping[str, float]
    chosen: str | None

    @property
    def reason(self) -> str:
        """Why `chosen` is: how many times as fast as XLA's own, or, if it is that, as the best other one."""
        others = {name: seconds for name, seconds in self.seconds.items() if name != self.chosen}
        other = "native" if "native" in others else min(others, key=others.__getitem__)
        ratio = others[other] / self.seconds[str(self.chosen)]
        return "measured on this device" + (f", {ratio:.1f} × {other}" if math.isfinite(ratio) else "")


def milliseconds(seconds: float) -> str:
    """Three digits, or more before the point; "-" for what failed."""
    if not math.isfinite(seconds):
        return "-"
    return f"{1e3 * seconds:.3g}" if seconds < 0.1 else f"{1e3 * seconds:.0f}"


@dataclass(frozen=True)
class StepTimes:
    """How long a whole step takes, in seconds: by the rules, and with the lowerings that won one by one, if any did."""

    by_rules: float
    as_measured: float | None
    is_faster: bool

    def describe(self, step: str) -> str:
        """In a line."""
        by_rules = f"the whole {step}: {milliseconds(self.by_rules)} ms by the rules"
        if self.as_measured is None:
            return f"{by_rules}; no other lowering wins, and they stay"
        line = f"{by_rules}, {milliseconds(self.as_measured)} ms with the lowerings that win one by one"
        return line if self.is_faster else f"{line}: not faster by more than noise, and the rules stay"


@dataclass(frozen=True, eq=False)
class Measurements:
    """A table of measurements; two are the same only if they are one object.

    Attributes:
        device: on which all were made, as `device_of` describes it.
        jax_version: with which.
        of: what was measured -> the result.
        steps: fingerprint of a step -> the time of the whole.
    """

    device: str
    jax_version: str = jax.__version__
    of: Mapping[Problem, Measurement] = field(default_factory=dict)
    steps: Mapping[str, StepTimes] = field(default_factory=dict)

    def is_for(self, device: str | None) -> bool:
        """Whether it was measured on this device, with this version of JAX."""
        return (self.device, self.jax_version) == (device, jax.__version__)

    def find(self, problem: Problem) -> Measurement | None:
        return self.of.get(problem) if isinstance(problem.batch, int) else None

    @property
    def choosing(self) -> Measurements:
        """Only what another lowering is chosen for than the rules would give."""
        return replace(self, of={key: found for key, found in self.of.items() if found.chosen is not None}, steps={})

    def to_json(self) -> str:
        """One line for each measurement, and a checksum over all."""
        content: dict[str, Any] = {
            "format": _FORMAT,
            "device": self.device,
            "jax": self.jax_version,
            "measurements": [_to_dict(problem, measurement) for problem, measurement in self.of.items()],
            "steps": {key: asdict(times) for key, times in self.steps.items()},
        }
        lines = ",\n".join(f"  {json.dumps(row)}" for row in content["measurements"])
        rest = {key: json.dumps(value) for key, value in content.items() if key != "measurements"}
        parts = [f'"{key}": {value}' for key, value in rest.items()]
        return f'{{{", ".join(parts)},\n"measurements": [\n{lines}\n],\n"sha256": "{_checksum(content)}"}}\n'

    @classmethod
    def from_json(cls, text: str, known: Collection[str]) -> Measurements:
        """What `to_json` gave; a measurement that chooses none of the `known` lowerings is dropped with a warning.

        Raises:
            UnusableTableError: if it is not, to the byte.
        """
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.pop("sha256", None) != _checksum(content):
                raise UnusableTableError("it does not have its checksum")
            if content["format"] != _FORMAT:
                raise UnusableTableError(f"it has format {content['format']}, not {_FORMAT}")
            found = dict(map(_from_dict, content["measurements"]))
            steps = {key: StepTimes(**times) for key, times in content["steps"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise UnusableTableError(f"it is no table of measurements: {error!r}") from error
        except json.JSONDecodeError as error:
            raise UnusableTableError(f"it is not JSON: {error}") from error
        unknown = {m.chosen for m in found.values() if m.chosen is not None and m.chosen not in known}
        if unknown:
            names = ", ".join(sorted(map(str, unknown)))
            warnings.warn(f"measurements that choose {names} are dropped: there is no such lowering", stacklevel=2)
        kept = {problem: measurement for problem, measurement in found.items() if measurement.chosen not in unknown}
        return cls(content["device"], content["jax"], kept, steps)


def _to_dict(problem: Problem, measurement: Measurement) -> dict[str, Any]:
    seconds = {name: value if math.isfinite(value) else None for name, value in measurement.seconds.items()}
    return {
        "direction": problem.direction,
        "batch": problem.batch,
        "dtype": jnp.dtype(problem.dtype).name,
        **asdict(problem.geometry),
        "seconds": seconds,
        "chosen": measurement.chosen,
    }


def _from_dict(row: dict[str, Any]) -> tuple[Problem, Measurement]:
    seconds = {name: math.inf if value is None else float(value) for name, value in row.pop("seconds").items()}
    measurement = Measurement(seconds, row.pop("chosen"))
    direction, batch, dtype = (row.pop(key) for key in ("direction", "batch", "dtype"))
    geometry = ConvGeometry(**{key: _as_tuples(value) for key, value in row.items()})
    return Problem(geometry, direction, batch, jnp.dtype(dtype)), measurement


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


RULES_ALONE = Measurements(device="")
"""The table of no device."""

_used = jax.make_user_context(None)  # a `Measurements`; part of the key of JAX's caches


@contextmanager
def use_measurements(table: Measurements) -> Iterator[None]:
    """Takes the lowerings of a table, not of that in the user's cache, in programs that are lowered within the block.

    Where it was not measured on the device that a program is for, the rules decide.
    """
    with _used(table):
        yield


def measurements_in_use(platform: str, known: Collection[str]) -> Measurements | None:
    """The table for programs of a platform ("cpu", "cuda", ...), if there is one.

    Args:
        platform: of the program; nothing was measured for one that this process has no device of.
        known: the names of the lowerings that there are.
    """
    device = device_of(platform)
    if device is None:
        return None
    table: Measurements | None = _used.value
    if table is None:
        table = _table_of_process(device, tuple(known))
    return table if table.is_for(device) else None


@cache
def _table_of_process(device: str, known: tuple[str, ...]) -> Measurements:
    # Processes that make one program together must make the same one, and each host has a cache of its own.
    return RULES_ALONE if jax.process_count() > 1 else read_user_table(device, known)


@cache
def device_of(platform: str) -> str | None:
    """The kind of this process's devices of a platform; for a CPU its model and cores. None if it has none."""
    try:
        device = jax.local_devices(backend=platform)[0]
    except RuntimeError:
        return None
    if device.platform != "cpu":
        return device.device_kind
    cores = usable_cores()
    return f"{processor()}, {cores} core{'s' if cores > 1 else ''}"


def usable_cores() -> int:
    """How many cores this process may use. XLA divides its work by them, so that the rounding of sums depends on it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_platform() -> str:
    """That of JAX's default backend, as `jax.export` names it."""
    backend = jax.default_backend()
    if backend != "gpu":
        return backend
    return next((platform for platform in ("cuda", "rocm") if device_of(platform) is not None), backend)


def processor() -> str:
    """The model of this machine's CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, python_platform.processor() or "CPU")


def user_table_path(device: str) -> Path:
    """Where the user's table of a device is, for this version of JAX."""
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return user_cache_directory() / "lowerings" / f"{slug}-jax-{jax.__version__}.json"


def read_user_table(device: str, known: Collection[str]) -> Measurements:
    """The user's table of a device, or an empty one. A file that is damaged is renamed, with a warning."""
    path = user_table_path(device)
    try:
        table = Measurements.from_json(path.read_text(encoding="utf-8"), known)
        if not table.is_for(device):
            raise UnusableTableError(f"it is of {table.device} and JAX {table.jax_version}")
        return table
    except FileNotFoundError:
        pass
    except OSError as error:
        warnings.warn(f"the measured lowerings cannot be read, and the rules decide: {error}", stacklevel=2)
    except (UnusableTableError, UnicodeDecodeError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
            where = f"set aside as {aside}"
        except OSError as cause:
            where = f"left where it is: {cause}"
        warnings.warn(f"{path} is not used, and the rules decide: {error}; {where}", stacklevel=2)
    return Measurements(device)


def write_user_table(table: Measurements, known: Collection[str]) -> Path:
    """Adds the measurements of a table to those that the user has for its device; gives the file.

    Raises:
        OSError: if it cannot be written.
    """
    before = read_user_table(table.device, known)
    path = user_table_path(table.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    merged = Measurements(table.device, of={**before.of, **table.of}, steps=table.steps)
    with replacing(path) as unfinished:
        unfinished.write_text(merged.to_json(), encoding="utf-8")
    return path
