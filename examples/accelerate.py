"""A ResNeXt written with plain `nnx.Conv`, trained with XLA's own convolutions and after `zoo.ops.accelerate`.

    uv run python examples/accelerate.py

Nothing of the model comes from this project. Both copies start from the same weights and see the same batches, one
step a dispatch; the script prints the losses of 20 steps and the time of a step.
"""

from __future__ import annotations

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import zoo.ops

STEPS, BATCH = 20, 8


class Block(nnx.Module):
    def __init__(self, inputs: int, outputs: int, hidden: int, stride: int, rngs: nnx.Rngs) -> None:
        self.reduce = nnx.Conv(inputs, hidden, (1, 1), use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(hidden, rngs=rngs)
        self.filter = nnx.Conv(
            hidden, hidden, (3, 3), strides=stride, feature_group_count=32, use_bias=False, rngs=rngs
        )
        self.norm2 = nnx.BatchNorm(hidden, rngs=rngs)
        self.expand = nnx.Conv(hidden, outputs, (1, 1), use_bias=False, rngs=rngs)
        self.norm3 = nnx.BatchNorm(outputs, rngs=rngs)
        self.shortcut = nnx.Conv(inputs, outputs, (1, 1), strides=stride, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.reduce(x)))
        y = nnx.relu(self.norm2(self.filter(y)))
        return nnx.relu(self.norm3(self.expand(y)) + self.shortcut(x))


class ResNeXt(nnx.Module):
    """Cardinality 32, group width 4, for 32×32 images."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 64, (3, 3), rngs=rngs)
        self.blocks = nnx.List(
            [Block(64, 256, 128, 1, rngs), Block(256, 512, 256, 2, rngs), Block(512, 1024, 512, 2, rngs)]
        )
        self.head = nnx.Linear(1024, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


@nnx.jit
def train_step(model: ResNeXt, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array) -> jax.Array:
    def loss_of(model: ResNeXt) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


def train(model: ResNeXt) -> tuple[list[float], float]:
    """The losses, and the median seconds of a step."""
    optimizer = nnx.Optimizer(model, optax.sgd(1e-3, momentum=0.9), wrt=nnx.Param)
    random = np.random.default_rng(0)
    losses, seconds = [], []
    for _ in range(STEPS):
        labels = random.integers(0, 10, BATCH)
        images = random.standard_normal((BATCH, 32, 32, 3)) + labels[:, None, None, None] / 5
        started = time.perf_counter()
        losses.append(float(train_step(model, optimizer, jnp.asarray(images, jnp.float32), jnp.asarray(labels))))
        seconds.append(time.perf_counter() - started)
    return losses, statistics.median(seconds[1:])


def main() -> None:
    plain_losses, plain_seconds = train(ResNeXt(nnx.Rngs(0)))
    model = ResNeXt(nnx.Rngs(0))
    count = zoo.ops.accelerate(model)
    fast_losses, fast_seconds = train(model)
    for step in (0, STEPS // 2, STEPS - 1):
        print(f"step {step + 1:2}: loss {plain_losses[step]:.6f} plain, {fast_losses[step]:.6f} accelerated")
    largest = max(abs(a - b) for a, b in zip(plain_losses, fast_losses, strict=True))
    print(f"largest difference of {STEPS} losses: {largest:.1e}")
    print(f"a step of {BATCH} images: {1e3 * plain_seconds:.0f} ms plain, {1e3 * fast_seconds:.0f} ms with {count} "
          f"convolutions accelerated, {plain_seconds / fast_seconds:.1f} times faster")  # fmt: skip


if __name__ == "__main__":
    main()
