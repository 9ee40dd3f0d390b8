"""The fully connected CRF: the time and the memory that mean-field inference takes.

    uv run python benchmarks/crf.py [--sizes 64x64 128x128] [--iterations 10] [--windows 0 11]

Images and logits are noise, which costs as much as anything else. The time is the median of several calls, or that of a
single one above five seconds; the memory is what XLA sets aside beyond arguments and result. The exact kernel of
500x375 pixels takes many minutes on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import tyro
from peer import Table, machine, medians, seconds

from zoo.crf import CRFParameters, mean_field


@dataclass(frozen=True)
class Options:
    """Times mean-field inference."""

    sizes: tuple[str, ...] = ("64x64", "128x128", "320x240", "500x375")
    """Widths and heights of images."""
    windows: tuple[int, ...] = (0, 11)
    """Sides of the window; 0 for the exact kernel."""
    classes: int = 21
    """Classes of the logits."""
    iterations: int = 10
    """Rounds of messages."""
    rounds: int = 3
    """How often each is timed."""


def loss(logits: jax.Array, image: jax.Array, parameters: CRFParameters) -> jax.Array:
    return mean_field(logits, image, parameters)[..., 0].sum()


def megabytes(program: jax.stages.Compiled) -> str:
    memory = program.memory_analysis()
    return "unknown" if memory is None else f"{memory.temp_size_in_bytes / 1e6:.0f}"


def main() -> None:
    options = tyro.cli(Options)
    print(f"{machine(None)}; {options.classes} classes, {options.iterations} iterations\n")
    table = Table("size", "window", "seconds", "memory, MB", "with gradient, MB")
    for size in options.sizes:
        width, height = map(int, size.split("x"))
        key = jax.random.key(0)
        logits = jax.random.normal(key, (height, width, options.classes))
        image = jax.random.randint(key, (height, width, 3), 0, 256).astype(jnp.uint8)
        for window in options.windows:
            parameters = CRFParameters(iterations=options.iterations, window=window or None)
            infer = mean_field.lower(logits, image, parameters).compile()
            gradient = jax.jit(jax.grad(loss)).lower(logits, image, parameters).compile()
            timer = partial(seconds, partial(infer, logits, image, parameters))
            taken = medians({"inference": timer}, options.rounds)["inference"]
            table.add(size, str(window or "all"), f"{taken:.3f}", *map(megabytes, (infer, gradient)))
    table.print()


if __name__ == "__main__":
    main()
