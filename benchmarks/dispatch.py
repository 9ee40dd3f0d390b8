"""What Python costs per training step outside XLA: one step a dispatch, and many steps a dispatch.

    uv run python benchmarks/dispatch.py

A net small enough that its step takes about 2 ms stands for a large net on a fast device. A dispatch of no steps
costs all that Python and the runtime do around a long one (and the shuffling of an epoch, which is XLA's), so it
bounds what is spent outside the steps. Everything is measured in turn, and medians are compared.
"""

from __future__ import annotations

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo.blocks import ConvNormAct
from zoo.data.dataset import ArraySplit, Dataset
from zoo.training.config import TrainConfig
from zoo.training.devices import Devices
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer

_STEPS = 200
_ROUNDS = 9


class SmallNet(nnx.Module):
    """A net whose step takes about 2 ms on two cores."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = ConvNormAct(3, 32, stride=2, rngs=rngs)
        self.body = ConvNormAct(32, 32, stride=2, rngs=rngs)
        self.head = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.body(self.stem(x)).mean((1, 2)))


def main() -> None:
    random = np.random.default_rng(0)
    split = ArraySplit(
        random.integers(0, 256, (_STEPS * 16, 32, 32, 3), dtype=np.uint8),
        random.integers(0, 10, _STEPS * 16).astype(np.int32),
    )
    dataset = Dataset("random", tuple("0123456789"), 32, split, split, (0.5,) * 3, (0.25,) * 3)
    config = TrainConfig(batch_size=16)
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 1000))
    trainer, state = Trainer.create(config, SmallNet(nnx.Rngs(0)), dataset, optimizer, Devices.find(1))
    state = trainer.place(state)
    images, labels = jnp.asarray(split.images), jnp.asarray(split.labels)

    chunk = jax.jit(trainer.train_chunk, donate_argnames="state").lower(state, images, labels, jnp.int32(1)).compile()
    step = jax.jit(trainer.train_step, donate_argnames="state").lower(state, images[:16], labels[:16]).compile()
    batches = [(images[i * 16 : i * 16 + 16], labels[i * 16 : i * 16 + 16]) for i in range(_STEPS)]

    single: list[float] = []
    chunked: list[float] = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for batch in batches:
            state = step(state, *batch)
        jax.block_until_ready(state)
        single.append((time.perf_counter() - started) / _STEPS)
        started = time.perf_counter()
        state = chunk(state, images, labels, jnp.int32(_STEPS))
        jax.block_until_ready(state)
        chunked.append((time.perf_counter() - started) / _STEPS)

    # A dispatch of no step at all is what Python and the runtime cost; it is shared by all steps of a long one.
    empty: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        state = chunk(state, images, labels, jnp.int32(0))
        jax.block_until_ready(state)
        empty.append(time.perf_counter() - started)

    step_time, overhead = statistics.median(chunked), statistics.median(empty) / _STEPS
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {jax.device_count()} device(s)")
    print(f"{1e3 * statistics.median(single):8.3f} ms per step, one step a dispatch")
    print(f"{1e3 * step_time:8.3f} ms per step, {_STEPS} steps a dispatch")
    print(f"{1e3 * statistics.median(empty):8.3f} ms for a dispatch of no steps")
    print(f"outside XLA: at most {overhead / step_time:.2%} of a step, {_STEPS} steps a dispatch")


if __name__ == "__main__":
    main()
