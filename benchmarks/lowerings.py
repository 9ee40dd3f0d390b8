"""Every kind of convolution, forward and both gradients: XLA's own, ours, and PyTorch's.

    uv run python benchmarks/lowerings.py [--torch PYTHON] [--dtype bfloat16] [--batch 512] [--only depthwise]

`PYTHON` is an interpreter with torch; without it this one is tried. Milliseconds, medians of calls taken in turn.
"In a loop" is one turn of a `fori_loop` with the same call in its body, as in a training loop of many steps a dispatch;
it reads and writes the first operand once more. Ratios are of the better of XLA's two times, and of PyTorch's, to the
better of ours. Memory is as `train.py` and PyTorch's users have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jax import lax
from peer import Torch, find_torch, machine, medians, seconds

from zoo import ops
from zoo.training.huge_pages import restart_with_huge_pages

_DIRECTIONS = ("forward", "input_gradient", "kernel_gradient")


@dataclass(frozen=True)
class Case:
    kind: str
    size: int
    in_channels: int
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False

    @property
    def name(self) -> str:
        parts = [f"{self.kind} {self.in_channels}->{self.out_channels}", f"{self.kernel_size}x{self.kernel_size}"]
        parts += [f"g{self.groups}"] * (self.kind == "grouped") + [f"s{self.stride}"] * (self.stride > 1)
        parts += [f"d{self.dilation}"] * (self.dilation > 1)
        return " ".join([*parts, f"{self.size}px"])

    @property
    def padding(self) -> int:
        return self.dilation * (self.kernel_size - 1) // 2


CASES = (
    Case("depthwise", 32, 64, 64, groups=64),
    Case("depthwise", 32, 144, 144, groups=144),
    Case("depthwise", 32, 144, 144, stride=2, groups=144),
    Case("depthwise", 16, 192, 192, groups=192),
    Case("depthwise", 8, 384, 384, groups=384),
    Case("depthwise", 4, 960, 960, groups=960),
    Case("depthwise", 32, 64, 64, 5, groups=64),
    Case("depthwise", 32, 64, 64, 7, groups=64),
    Case("depthwise", 32, 64, 64, dilation=2, groups=64),
    Case("depthwise", 32, 64, 128, groups=64),
    Case("grouped", 32, 128, 128, groups=2),
    Case("grouped", 32, 128, 128, groups=8),
    Case("grouped", 32, 128, 128, groups=32),
    Case("grouped", 32, 256, 256, stride=2, groups=32),
    Case("grouped", 8, 512, 512, groups=32),
    Case("grouped", 16, 240, 240, 1, groups=3),
    Case("pointwise", 32, 24, 144, 1),
    Case("pointwise", 32, 144, 24, 1),
    Case("pointwise", 16, 192, 64, 1),
    Case("pointwise", 4, 960, 320, 1),
    Case("pointwise", 32, 64, 128, 1, stride=2),
    Case("dense", 32, 3, 32),
    Case("dense", 32, 64, 64),
    Case("dense", 16, 128, 128),
    Case("dense", 8, 256, 256),
    Case("dense", 32, 64, 128, stride=2),
    Case("dense", 16, 128, 128, dilation=2),
    Case("transposed", 16, 64, 32, 2, stride=2, transposed=True),
    Case("transposed", 16, 64, 32, 3, stride=2, transposed=True),
    Case("transposed", 16, 64, 32, 4, stride=2, transposed=True),
)


@dataclass(frozen=True)
class Options:
    """Times convolutions."""

    torch: str | None = None
    """An interpreter that has torch."""
    batch: int = 64
    """Examples."""
    dtype: str = "float32"
    """Of activations and kernels: float32 or bfloat16."""
    rounds: int = 7
    """How often each is timed."""
    only: str = ""
    """Only the cases whose name contains this."""


def convolve(case: Case, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if case.transposed:
        side = case.dilation * (case.kernel_size - 1) - case.padding
        return ops.conv_transpose(x, kernel, [case.stride] * 2, [(side, side)] * 2, [case.dilation] * 2)
    return ops.conv_general_dilated(
        x,
        kernel,
        [case.stride] * 2,
        [(case.padding, case.padding)] * 2,
        rhs_dilation=[case.dilation] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=case.groups,
    )


def direction_of(case: Case, direction: str, x: jax.Array, kernel: jax.Array) -> tuple[Callable[..., Any], Any, Any]:
    """The function of a direction, and its two operands."""
    if direction == "forward":
        return partial(convolve, case), x, kernel
    like = jax.eval_shape(partial(convolve, case), x, kernel)
    cotangent = jax.random.normal(jax.random.key(2), like.shape, like.dtype)
    if direction == "input_gradient":
        return lambda dy, kernel: jax.vjp(lambda x: convolve(case, x, kernel), x)[1](dy)[0], cotangent, kernel
    return lambda x, dy: jax.vjp(lambda kernel: convolve(case, x, kernel), kernel)[1](dy)[0], x, cotangent


def in_a_loop(function: Callable[..., Any], a: jax.Array, b: jax.Array) -> Callable[..., Any]:
    result = jax.eval_shape(function, a, b)

    def run(times: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        def body(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            # Each turn's operand depends on the last turn's result, so that nothing can be moved out of the loop. The
            # barrier keeps that sum from being computed once for every tap.
            a = lax.optimization_barrier(carry[0] + 1e-9 * carry[1][0, 0, 0, 0])
            return a, function(a, b)

        return lax.fori_loop(0, times, body, (a, jnp.zeros(result.shape, result.dtype)))[1]

    return run


def timers(case: Case, direction: str, options: Options, torch: Torch | None) -> dict[str, Callable[[], float]]:
    x_key, kernel_key = jax.random.split(jax.random.key(0))
    x_shape = (options.batch, case.size, case.size, case.in_channels)
    kernel_shape = (case.kernel_size, case.kernel_size, case.in_channels // case.groups, case.out_channels)
    x = jax.random.normal(x_key, x_shape, options.dtype)
    kernel = jax.random.normal(kernel_key, kernel_shape, options.dtype)

    def compiled(*, loops: bool = True) -> tuple[Callable[[], float], Callable[[], float]]:
        function, a, b = direction_of(case, direction, x, kernel)
        once = jax.jit(function).lower(a, b).compile()
        if not loops:
            return lambda: seconds(lambda: once(a, b)), lambda: math.inf
        loop = jax.jit(in_a_loop(function, a, b)).lower(jnp.int32(1), a, b).compile()
        jax.block_until_ready(once(a, b))
        turns = 5 if seconds(lambda: once(a, b)) < 0.1 else 1
        return lambda: seconds(lambda: once(a, b)), lambda: seconds(lambda: loop(jnp.int32(turns), a, b)) / turns

    found: dict[str, Callable[[], float]] = {}
    with ops.force_lowering("native"):
        # In a loop XLA:CPU's own grouped and depthwise kernel gradients take ten seconds and more.
        found["native"], found["native in a loop"] = compiled(loops=case.groups == 1)
    found["ours"], found["ours in a loop"] = compiled()
    if torch is not None:
        torch.build(
            "torch",
            "convolution",
            direction=direction,
            x=x_shape,
            kernel=kernel_shape,
            dtype=options.dtype,
            options={
                "stride": case.stride,
                "padding": case.padding,
                "dilation": case.dilation,
                "groups": case.groups,
                "transposed": case.transposed,
            },
        )
        found["torch"] = lambda: torch.time("torch")
    return found


def main() -> None:
    restart_with_huge_pages()
    options = tyro.cli(Options)
    torch = find_torch(options.torch)
    print(f"{machine(torch)}; batch {options.batch}, {options.dtype}, milliseconds\n")
    columns = ["native", "native in a loop", "ours", "ours in a loop", *(["torch"] if torch else [])]
    header = ["convolution", "direction", *columns, "native / ours", *(["torch / ours"] if torch else [])]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
    for case in CASES:
        if options.only not in case.name:
            continue
        for direction in _DIRECTIONS:
            times = medians(timers(case, direction, options, torch), options.rounds)
            best = {name: min(times[name], times[f"{name} in a loop"]) for name in ("native", "ours")}
            cells = [f"{1e3 * times[column]:.2f}" if times[column] < math.inf else "" for column in columns]
            cells.append(f"{best['native'] / best['ours']:.1f}")
            if torch:
                cells.append(f"{times['torch'] / best['ours']:.2f}")
            print(f"| {case.name} | {direction.replace('_', ' ')} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
