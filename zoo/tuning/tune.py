"""Which lowerings win on a device: each convolution by itself first, then the whole step with all that won."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from zoo.lowering_names import LoweringName
from zoo.ops.lowering.geometry import Problem
from zoo.ops.lowering.measured import RULES_ALONE, Measurement, Measurements, StepTimes, use_measurements
from zoo.ops.lowering.select import FOR_ACCELERATORS, LOWERINGS, select
from zoo.tuning.step import Step
from zoo.tuning.stopwatch import Stopwatch, Timer, first_time

_ROUNDS = 5
_PAUSE = 0.01  # seconds between calls, until the threads of the one before have stopped spinning
_HOPELESS = 3  # times as slow as the best so far at first sight: a candidate is not timed further
_LEAST_GAIN = 0.05  # of its time, for a convolution to have another lowering than the rules give it

Name = TypeVar("Name", bound=str)


def candidates(problem: Problem, platform: str) -> list[LoweringName]:
    """The lowerings that fit, without those that need not be tried on a CPU."""
    skipped = FOR_ACCELERATORS if platform == "cpu" else ()
    fitting = [name for name, lowering in LOWERINGS.items() if lowering.obstacle(problem.geometry) is None]
    return [name for name in fitting if name not in skipped]


def choice_of_rules(problem: Problem, platform: str) -> LoweringName:
    with use_measurements(RULES_ALONE):
        return select(problem, platform).lowering


def tune(
    step: Step,
    table: Measurements,
    platform: str,
    stopwatch: Stopwatch,
    *,
    again: bool = False,
    track: Callable[[list[Problem]], Iterable[Problem]] = iter,
) -> Measurements:
    """The table, with what a step needs of it; the same one if it has all that.

    Args:
        step: to be tuned.
        table: of the device.
        platform: of the device.
        stopwatch: times on it.
        again: measure everything, whatever the table has.
        track: gives the convolutions that it is given, and shows how far it is.
    """
    problems = list(step.convolutions) if again else unmeasured(step, table, platform)
    if not problems and step.fingerprint in table.steps:
        return table
    table = measure_convolutions(track(problems), table, platform, stopwatch)
    return conclude(step, table, measure_step(step, table))


def unmeasured(step: Step, table: Measurements, platform: str) -> list[Problem]:
    """What of a step was not measured with all the lowerings that fit."""
    return [
        problem
        for problem in step.convolutions
        if (found := table.find(problem)) is None or not found.seconds.keys() >= set(candidates(problem, platform))
    ]


def measure_convolutions(
    problems: Iterable[Problem], table: Measurements, platform: str, stopwatch: Stopwatch
) -> Measurements:
    """The table, with the measurements of these problems."""
    found = {problem: measure(problem, platform, stopwatch) for problem in problems}
    changed = any(problem in table.of and table.of[problem].chosen != m.chosen for problem, m in found.items())
    # The time of a step was taken with choices that are no longer made.
    return replace(table, of={**table.of, **found}, steps={} if changed else table.steps)


def measure(problem: Problem, platform: str, stopwatch: Stopwatch) -> Measurement:
    """Times the candidates for a problem, in turn, and chooses one if it beats the rules' by more than noise."""
    by_rules = choice_of_rules(problem, platform)
    # The likely winner comes first, so that what is hopeless is known to be, and XLA's own last: it can take seconds.
    names = sorted(candidates(problem, platform), key=lambda name: (name != by_rules, name == "native"))
    timers: dict[LoweringName, Timer] = {}
    seconds: dict[LoweringName, float] = {}
    best = math.inf
    for name in names:
        try:
            glance = stopwatch.glance(problem, name)
            if glance is not None and glance > best:
                seconds[name] = glance
                continue
            timer = stopwatch.prepare(problem, name)
            first = first_time(timer)
        except Exception as error:  # of any kind: nobody may have tried it on this device
            seconds[name] = math.inf
            warnings.warn(f"{name} is left out for {describe(problem)}: {_first_line(error)}", stacklevel=2)
            continue
        if first > _HOPELESS * best:
            seconds[name] = first
            continue
        timers[name] = timer
        best = min(best, first)
    samples = time_in_turn(timers)
    seconds |= {name: statistics.median(taken) for name, taken in samples.items()}
    return Measurement({name: _rounded(seconds[name]) for name in names}, _winner(samples, by_rules))


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def time_in_turn(timers: Mapping[Name, Timer]) -> dict[Name, list[float]]:
    samples: dict[Name, list[float]] = {name: [] for name in timers}
    for _ in range(_ROUNDS):
        for name, timer in timers.items():
            time.sleep(_PAUSE)
            samples[name].append(timer())
    return samples


def _winner(samples: Mapping[LoweringName, Sequence[float]], by_rules: LoweringName) -> LoweringName | None:
    """The fastest lowering, if it is not the rules' and faster by more than noise and the least gain."""
    if not samples:
        return None
    fastest = min(samples, key=lambda name: statistics.median(samples[name]))
    if fastest == by_rules:
        return None
    if by_rules not in samples:  # it fails on this device
        return fastest
    gain = 1 - statistics.median(samples[fastest]) / statistics.median(samples[by_rules])
    return fastest if gain >= _LEAST_GAIN and is_faster(samples[fastest], samples[by_rules]) else None


def is_faster(a: Sequence[float], b: Sequence[float]) -> bool:
    """By more than noise: three quarters of the times of `a` are below three quarters of those of `b`."""
    return statistics.quantiles(a, n=4, method="inclusive")[2] < statistics.quantiles(b, n=4, method="inclusive")[0]


def measure_step(step: Step, table: Measurements) -> StepTimes:
    """The whole step, by the rules and with the lowerings that won."""
    wins = any(found.chosen is not None for problem in step.convolutions if (found := table.find(problem)) is not None)

    def prepare(lowerings: Measurements) -> Timer:
        with use_measurements(lowerings):
            timer = step.compile()
        timer()  # the first call is not counted
        return timer

    timers = {"by_rules": prepare(RULES_ALONE)}
    if wins:
        try:
            timers["as_measured"] = prepare(table)
        except Exception as error:  # such as too little memory
            warnings.warn(f"the whole step fails with what wins one by one: {_first_line(error)}", stacklevel=2)
    samples = time_in_turn(timers)
    by_rules, as_measured = samples["by_rules"], samples.get("as_measured")
    return StepTimes(
        _rounded(statistics.median(by_rules)),
        None if as_measured is None else _rounded(statistics.median(as_measured)),
        as_measured is not None and is_faster(as_measured, by_rules),
    )


def conclude(step: Step, table: Measurements, times: StepTimes) -> Measurements:
    """The table with the times of a step; what won is not chosen if the whole step is not faster."""
    if times.is_faster:
        return replace(table, steps={**table.steps, step.fingerprint: times})
    dropped = {
        problem: replace(found, chosen=None)
        for problem in step.convolutions
        if (found := table.find(problem)) is not None and found.chosen is not None
    }
    # Other steps may have been measured with what is dropped here.
    return replace(
        table,
        of={**table.of, **dropped},
        steps={**({} if dropped else table.steps), step.fingerprint: times},
    )


def describe(problem: Problem) -> str:
    """A convolution in a few words: "3x3 64->64 s2 g64 32px kernel gradient"."""
    geometry = problem.geometry

    def pair(values: tuple[int, int]) -> str:
        return str(values[0]) if values[0] == values[1] else "x".join(map(str, values))

    parts = ["x".join(map(str, geometry.kernel_size)), f"{geometry.in_channels}->{geometry.out_channels}"]
    parts += [f"s{pair(geometry.strides)}"] * (geometry.strides != (1, 1))
    parts += [f"d{pair(geometry.dilation)}"] * (geometry.dilation != (1, 1))
    parts += [f"g{geometry.groups}"] * (geometry.groups > 1)
    return " ".join([*parts, f"{pair(geometry.input_size)}px", problem.direction.replace("_", " ")])
