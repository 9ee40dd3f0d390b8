"""Whole nets, training and inference: with the lowerings of this project, with XLA's own, and in PyTorch.

    uv run python benchmarks/training_step.py [--torch PYTHON] [--batch 512] [--dtype bfloat16] [--nets ...]

`PYTHON` is an interpreter with torch; without it this one is tried. Ours is the training loop of `train.py`, many
steps a dispatch, with shuffling, augmentation and metrics; "a step a dispatch" is its bare step. PyTorch steps over
one batch of random images, eager and channels-last, on a GPU also by `torch.compile`. Everything is timed in turn, each
right after a call that is not, as in the middle of a run, and in memory as `train.py` and PyTorch's users have it;
medians are compared. XLA's own lowerings are timed once, and a step a dispatch: on a CPU its gradients are many times
slower still in a loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from peer import Table, Torch, find_torch, machine, medians, seconds

from zoo import ops
from zoo.data.dataset import ArraySplit, Dataset
from zoo.registry import create_model, model_info
from zoo.training.config import TrainConfig
from zoo.training.devices import Devices
from zoo.training.huge_pages import restart_with_huge_pages
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer

INFERENCE_BATCHES = (1, 32)
NETS = ("mobilenet_v2", "shufflenet_v2_x1_0", "resnext29_2x64d", "dilated_resnet")


@dataclass(frozen=True)
class Options:
    """Times training steps and predictions of whole nets at 32×32."""

    torch: str | None = None
    """An interpreter that has torch."""
    nets: tuple[str, ...] = NETS
    """Which nets."""
    batch: int = 64
    """Examples in a training step."""
    dtype: str = "float32"
    """Of the computation: float32 or bfloat16."""
    steps: int = 4
    """Steps a dispatch."""
    rounds: int = 7
    """How often each is timed."""
    native: bool = True
    """Also time XLA's own lowerings."""


class Net:
    """A net with its training loop, its bare step and its predictions, compiled with one kind of lowering."""

    def __init__(self, name: str, options: Options, *, native: bool) -> None:
        self._steps = options.steps
        config = TrainConfig(batch_size=options.batch)
        random = np.random.default_rng(0)
        examples = options.batch * options.steps
        split = ArraySplit(
            random.integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8),
            random.integers(0, 10, examples).astype(np.int32),
        )
        dataset = Dataset("random", tuple("0123456789"), 32, split, split, (0.5,) * 3, (0.25,) * 3)
        small: dict[str, Any] = {} if model_info(name).input_size == 32 else {"small_images": True}
        model = create_model(name, num_classes=10, dtype=jnp.dtype(options.dtype), **small)
        optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 1000))
        trainer, state = Trainer.create(config, model, dataset, optimizer, Devices.find(1))
        self._state = trainer.place(state)
        self._images, self._labels = jnp.asarray(split.images), jnp.asarray(split.labels)
        self._batch = (self._images[: options.batch], self._labels[: options.batch])
        with ops.force_lowering("native") if native else nullcontext():
            epoch = (self._images, self._labels, jnp.int32(1))
            self._chunk = jax.jit(trainer.train_chunk, donate_argnums=0).lower(self._state, *epoch).compile()
            lowered = jax.jit(trainer.train_step, donate_argnums=0).lower(self._state, *self._batch)
            started = time.perf_counter()
            self._step = lowered.compile()
            self._compile_seconds = time.perf_counter() - started
            predict = jax.jit(trainer.predict)
            self._predict = {n: predict.lower(self._state, self._images[:n]).compile() for n in INFERENCE_BATCHES}

    @property
    def compilation(self) -> tuple[str, str]:
        """Seconds it took to compile a step, and the megabytes of temporary memory that XLA plans for it."""
        memory: Any = self._step.memory_analysis()
        return f"{self._compile_seconds:.1f}", f"{memory.temp_size_in_bytes / 1e6:.0f}"

    def time_chunk(self) -> float:
        """Seconds a step, many in one dispatch."""

        def call(steps: int) -> Any:
            self._state = self._chunk(self._state, self._images, self._labels, jnp.int32(steps))
            return self._state

        jax.block_until_ready(call(1))
        return seconds(partial(call, self._steps)) / self._steps

    def time_step(self) -> float:
        """Seconds a step, one a dispatch."""

        def call() -> Any:
            self._state = self._step(self._state, *self._batch)
            return self._state

        jax.block_until_ready(call())
        return seconds(call)

    def time_prediction(self, examples: int) -> float:
        def call() -> Any:
            return self._predict[examples](self._state, self._images[:examples])

        jax.block_until_ready(call())
        return seconds(call)


def time_torch(torch: Torch, label: str, steps: int) -> float:
    torch.time(label, count=1)
    return torch.time(label, count=steps) / steps


def time_torch_prediction(torch: Torch) -> float:
    torch.time("torch")
    return torch.time("torch")


def time_training(name: str, options: Options, ours: Net, torch: Torch | None) -> dict[str, float]:
    timers: dict[str, Callable[[], float]] = {"ours": ours.time_chunk, "ours, a step a dispatch": ours.time_step}
    if torch is not None:
        for compiled in (False, True) if torch.versions["device"] == "cuda" else (False,):
            label = "torch.compile" if compiled else "torch"
            torch.build(label, "training", net=name, batch=options.batch, dtype=options.dtype, compiled=compiled)
            timers[label] = partial(time_torch, torch, label, options.steps)
    return medians(timers, options.rounds)


def time_inference(name: str, options: Options, ours: Net, torch: Torch | None) -> dict[int, dict[str, float]]:
    times = {}
    for examples in INFERENCE_BATCHES:
        timers: dict[str, Callable[[], float]] = {"ours": partial(ours.time_prediction, examples)}
        if torch is not None:
            torch.build("torch", "inference", net=name, batch=examples, dtype=options.dtype)
            timers["torch"] = partial(time_torch_prediction, torch)
        times[examples] = medians(timers, 4 * options.rounds)
    return times


def time_native(
    name: str, options: Options, training: dict[str, float], inference: dict[int, dict[str, float]]
) -> tuple[str, str]:
    """Adds the times of XLA's own lowerings; gives the cells on compilation and memory."""
    native = Net(name, options, native=True)
    training["native, a step a dispatch"] = native.time_step()
    for examples, times in inference.items():
        times |= medians({"native": partial(native.time_prediction, examples)}, 3)
    return native.compilation


def main() -> None:
    restart_with_huge_pages()
    options = tyro.cli(Options)
    torch = find_torch(options.torch)
    print(f"{machine(torch)}; batch {options.batch}, {options.dtype}, 32x32 pixels\n")
    rows = Table("net", "what", "milliseconds", "images/s", "times ours")
    memory = Table("net", "lowerings", "compilation, s", "temporary memory of a step, MB")
    for name in options.nets:
        ours = Net(name, options, native=False)
        training = time_training(name, options, ours, torch)
        inference = time_inference(name, options, ours, torch)
        memory.add(name, "ours", *ours.compilation)
        if options.native:
            del ours
            memory.add(name, "native", *time_native(name, options, training, inference))
        for what, taken in training.items():
            rows.add(name, f"step: {what}", *_figures(taken, options.batch, training["ours"]))
        for examples, times in inference.items():
            for what, taken in times.items():
                rows.add(name, f"inference of {examples}: {what}", *_figures(taken, examples, times["ours"]))
    rows.print()
    memory.print()


def _figures(taken: float, examples: int, ours: float) -> tuple[str, str, str]:
    return f"{1e3 * taken:.1f}", f"{examples / taken:.0f}", f"{taken / ours:.2f}"


if __name__ == "__main__":
    main()
