"""Times one lowering of one convolution on a device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zoo.lowering_names import LoweringName
from zoo.ops.lowering.geometry import Problem
from zoo.ops.lowering.select import LOWERINGS

_SECONDS_A_CALL = 0.01  # what is shorter is repeated: far above what a dispatch and the clock take
_MOST_TURNS = 100
_SHORT = 0.2  # seconds
_LONGEST_PROGRAM = 2000  # lines; longer ones can take minutes to compile

Timer = Callable[[], float]
"""Runs something that is compiled; gives its seconds."""


class Stopwatch(Protocol):
    """Where the seconds of a lowering come from."""

    def glance(self, problem: Problem, lowering: LoweringName) -> float | None:
        """Seconds below which it need not be timed; None where only timing can tell."""
        ...

    def prepare(self, problem: Problem, lowering: LoweringName) -> Timer:
        """Compiles it.

        Raises:
            RuntimeError: if it cannot be compiled or run.
        """
        ...


@dataclass(frozen=True)
class DeviceStopwatch:
    """Times on a device of this process, on random operands.

    Attributes:
        device: the one.
        in_loop: whether to time within a loop, as in training. XLA:CPU computes the same convolution in other ways
            there; to an accelerator it makes no difference, and many turns of a loop are one dispatch.
    """

    device: jax.Device
    in_loop: bool

    @property
    def _is_cpu(self) -> bool:
        return self.device.platform == "cpu"

    def glance(self, problem: Problem, lowering: LoweringName) -> float | None:
        # XLA:CPU's own gradients can take ten seconds in a loop; a single call is hardly ever slower.
        if not (lowering == "native" and self.in_loop and self._is_cpu):
            return None
        return first_time(self._prepare_single_calls(problem, lowering))

    def prepare(self, problem: Problem, lowering: LoweringName) -> Timer:
        if self._is_cpu and not self.in_loop:
            return self._prepare_single_calls(problem, lowering)
        a, b = _operands(problem, self.device)
        loop = self._compile(_in_a_loop(_function(problem, lowering)), np.int32(1), a, b)
        return _repeated(lambda turns: _seconds(lambda: loop(np.int32(turns), a, b)) / turns)

    def _prepare_single_calls(self, problem: Problem, lowering: LoweringName) -> Timer:
        a, b = _operands(problem, self.device)
        once = self._compile(_function(problem, lowering), a, b)
        return repeated_calls(lambda: once(a, b))

    def _compile(self, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        with jax.default_device(self.device):
            lowered = jax.jit(function).lower(*arguments)
        lines = lowered.as_text().count("\n")
        if lines > _LONGEST_PROGRAM:
            raise RuntimeError(f"a program of {lines} lines would take long to compile")
        return lowered.compile()


def first_time(timer: Timer) -> float:
    """A first look at what is compiled. The first call may have to get memory: it does not count if it is short."""
    first = timer()
    return first if first > _SHORT else timer()


def operand_shapes(problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of the two operands of a convolution or of its gradient."""
    geometry = problem.geometry
    x = (problem.batch, *geometry.input_size, geometry.in_channels)
    y = (problem.batch, *geometry.output_size, geometry.out_channels)
    kernel = geometry.kernel_shape
    return {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[problem.direction]


@lru_cache(maxsize=1)  # all candidates of a problem are compiled one after the other
def _operands(problem: Problem, device: jax.Device) -> list[jax.Array]:
    """Repeated random numbers: making many millions of them would take longer than what is timed."""
    numbers = np.random.default_rng(0).standard_normal(10007).astype(problem.dtype)
    return [jax.device_put(np.resize(numbers, shape), device) for shape in operand_shapes(problem)]


def _function(problem: Problem, lowering: LoweringName) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return partial(getattr(LOWERINGS[lowering], problem.direction), geometry=problem.geometry)


def _in_a_loop(function: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[..., jax.Array]:
    def run(turns: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        def turn(_: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            # One number of each operand depends on the last result, so that nothing can be moved out of the loop. The
            # barrier keeps that from being computed once for every tap.
            a, b, last = carry
            tiny = 1e-9 * last[(0,) * last.ndim]
            a, b = lax.optimization_barrier(tuple(x.at[(0,) * x.ndim].add(tiny.astype(x.dtype)) for x in (a, b)))
            return a, b, function(a, b)

        like = jax.eval_shape(function, a, b)
        return lax.fori_loop(0, turns, turn, (a, b, jnp.zeros(like.shape, like.dtype)))[2]

    return run


def repeated_calls(call: Callable[[], Any]) -> Timer:
    """Times calls one by one; each gives the mean of as many as can be timed well."""
    return _repeated(lambda turns: sum(_seconds(call) for _ in range(turns)) / turns)


def _repeated(seconds_a_turn: Callable[[int], float]) -> Timer:
    """Times as many turns as make a call long enough to be timed well; the first call, of one turn, tells how many."""
    turns = 0

    def timer() -> float:
        nonlocal turns
        seconds = seconds_a_turn(max(1, turns))
        if not turns:
            turns = min(_MOST_TURNS, max(1, math.ceil(_SECONDS_A_CALL / seconds)))
        return seconds

    return timer


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - started
