"""Whole nets, training and inference: with the lowerings of this project, with XLA's own, and in PyTorch.

    uv run python benchmarks/training_step.py [--torch PYTHON] [--batch 512] [--dtype bfloat16] [--nets ...]
    uv run python benchmarks/training_step.py [--torch PYTHON] --size 224 --batch 8

`PYTHON` is an interpreter with torch; without it this one is tried. Ours is the training loop of `train.py`, many
steps a dispatch, with shuffling, augmentation and metrics; "a step a dispatch" is its bare step. Inference is that of
`train.py`, too, and "fused" that of `zoo predict`, with batch norms folded into convolutions. PyTorch steps over one
batch of random images, eager and channels-last, on a GPU and with `--compile` also by `torch.compile`; its nets must
have as many parameters and multiply-accumulates as ours. Everything is timed in turn, each right after a call that is
not, as in the middle of a run, and in memory as `train.py` and PyTorch's users have it; medians are compared. XLA's
own lowerings are timed once, and a step a dispatch: on a CPU its gradients are many times slower still in a loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from peer import Table, Torch, find_torch, machine, medians, seconds

import zoo
from zoo import ops
from zoo.analysis import cost_tree
from zoo.data.dataset import ArraySplit, Dataset
from zoo.models._classifier import ImageClassifier
from zoo.registry import create_model, model_info
from zoo.training.config import TrainConfig
from zoo.training.devices import Devices
from zoo.training.huge_pages import restart_with_huge_pages
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer

INFERENCE_BATCHES = (1, 32)
NETS = {  # by the pixels a side of their images
    32: (
        "mobilenet_v2",
        "mobilenet_v4_conv_small",
        "shufflenet_v2_x1_0",
        "xception",
        "resnet18",
        "resnext29_2x64d",
        "dilated_resnet",
    ),
    224: ("mobilenet_v2", "resnet18"),
}


@dataclass(frozen=True)
class Options:
    """Times training steps and predictions of whole nets."""

    torch: str | None = None
    """An interpreter that has torch."""
    nets: tuple[str, ...] | None = None
    """Which nets; by default all that there are in PyTorch, too."""
    size: Literal[32, 224] = 32
    """Pixels a side of the images: 32 for the form of the nets for small images, 224 for ImageNet's."""
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
    compile: bool = False
    """Also time torch.compile on a CPU, where it takes a minute a net to compile."""


def create_net(name: str, options: Options) -> ImageClassifier:
    is_small = options.size == 32 and model_info(name).input_size != 32  # CIFAR's nets have no other form.
    small: dict[str, Any] = {"small_images": True} if is_small else {}
    model = create_model(name, num_classes=10, dtype=jnp.dtype(options.dtype), **small)
    if not isinstance(model, ImageClassifier):
        raise ValueError(f"{name} is no classifier, whose training steps alone are timed here")
    return model


def require_same_nets(names: tuple[str, ...], options: Options, torch: Torch) -> None:
    """Raises ValueError if a net has other parameters or multiply-accumulates in PyTorch than here."""
    for name in names:
        cost = cost_tree(nnx.eval_shape(partial(create_net, name, options)), (options.size, options.size, 3))
        ours, theirs = {"parameters": cost.parameters, "macs": cost.macs}, torch.cost(name, options.size)
        if ours != theirs:
            raise ValueError(f"{name} at {options.size} pixels is another net in PyTorch, {theirs}, than ours, {ours}")


class Net:
    """A net with its training loop, its bare step and its predictions, compiled with one kind of lowering."""

    def __init__(self, name: str, options: Options, *, native: bool) -> None:
        self._steps = options.steps
        config = TrainConfig(batch_size=options.batch)
        random = np.random.default_rng(0)
        examples = max(options.batch * options.steps, *INFERENCE_BATCHES)
        split = ArraySplit(
            random.integers(0, 256, (examples, options.size, options.size, 3), dtype=np.uint8),
            random.integers(0, 10, examples).astype(np.int32),
        )
        dataset = Dataset("random", tuple("0123456789"), options.size, split, split, (0.5,) * 3, (0.25,) * 3)
        model = create_net(name, options)
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


class FusedNet:
    """The predictions of a net as `zoo predict` makes them, of normalised images and without batch norms."""

    def __init__(self, name: str, options: Options) -> None:
        graph, self._weights = nnx.split(zoo.fuse(create_net(name, options)))
        shape = (max(INFERENCE_BATCHES), options.size, options.size, 3)
        self._images = jax.random.normal(jax.random.key(0), shape)
        predict = jax.jit(lambda weights, images: nnx.merge(graph, weights)(images))
        self._predict = {n: predict.lower(self._weights, self._images[:n]).compile() for n in INFERENCE_BATCHES}

    def time_prediction(self, examples: int) -> float:
        images = self._images[:examples]

        def call() -> Any:
            return self._predict[examples](self._weights, images)

        jax.block_until_ready(call())
        return seconds(call)


def torch_labels(options: Options, torch: Torch | None) -> tuple[str, ...]:
    """The ways in which PyTorch is timed."""
    if torch is None:
        return ()
    return ("torch", "torch.compile") if options.compile or torch.versions["device"] == "cuda" else ("torch",)


def time_torch(torch: Torch, label: str, steps: int) -> float:
    torch.time(label, count=1)
    return torch.time(label, count=steps) / steps


def time_torch_prediction(torch: Torch, label: str) -> float:
    torch.time(label)
    return torch.time(label)


def build_torch(torch: Torch, label: str, kind: str, name: str, options: Options, batch: int) -> None:
    torch.build(
        label, kind, net=name, size=options.size, batch=batch, dtype=options.dtype, compiled=label == "torch.compile"
    )


def time_training(name: str, options: Options, ours: Net, torch: Torch | None) -> dict[str, float]:
    timers: dict[str, Callable[[], float]] = {"ours": ours.time_chunk, "ours, a step a dispatch": ours.time_step}
    for label in torch_labels(options, torch):
        assert torch is not None
        build_torch(torch, label, "training", name, options, options.batch)
        timers[label] = partial(time_torch, torch, label, options.steps)
    return medians(timers, options.rounds)


def time_inference(name: str, options: Options, ours: Net, torch: Torch | None) -> dict[int, dict[str, float]]:
    fused = FusedNet(name, options)
    times = {}
    for examples in INFERENCE_BATCHES:
        timers: dict[str, Callable[[], float]] = {
            "ours": partial(ours.time_prediction, examples),
            "ours, fused": partial(fused.time_prediction, examples),
        }
        for label in torch_labels(options, torch):
            assert torch is not None
            build_torch(torch, label, "inference", name, options, examples)
            timers[label] = partial(time_torch_prediction, torch, label)
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
    names = NETS[options.size] if options.nets is None else options.nets
    torch = find_torch(options.torch)
    if torch is not None:
        require_same_nets(names, options, torch)
    print(f"{machine(torch)}; batch {options.batch}, {options.dtype}, {options.size}x{options.size} pixels\n")
    rows = Table("net", "what", "milliseconds", "images/s", "times ours")
    memory = Table("net", "lowerings", "compilation, s", "temporary memory of a step, MB")
    columns = [f"inference of {n}{fused}" for n in INFERENCE_BATCHES for fused in ("", ", fused")]
    summaries = {label: Table(f"{label} / ours", "training", *columns) for label in torch_labels(options, torch)}
    for name in names:
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
        for label, summary in summaries.items():
            ratios = [times[label] / times[what] for times in inference.values() for what in ("ours", "ours, fused")]
            summary.add(name, *(f"{ratio:.2f}" for ratio in (training[label] / training["ours"], *ratios)))
    for table in (rows, memory, *summaries.values()):
        table.print()


def _figures(taken: float, examples: int, ours: float) -> tuple[str, str, str]:
    return f"{1e3 * taken:.1f}", f"{examples / taken:.0f}", f"{taken / ours:.2f}"


if __name__ == "__main__":
    main()
