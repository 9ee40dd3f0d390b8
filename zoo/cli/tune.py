"""`zoo tune`: the fastest lowering of each convolution of a model, measured on the device at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from zoo.cli.format import print_table

if TYPE_CHECKING:
    from zoo.ops.lowering.measured import Measurements
    from zoo.tuning.step import Step


def tune(
    name: Annotated[str, tyro.conf.Positional],
    batch: int = 64,
    input: int | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    training: tyro.conf.FlagCreatePairsOff[bool] = False,
    again: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Times every lowering that fits each convolution of a model on this device, and keeps those that win.

    If the whole step is faster with them, they come before the rules from then on, on this device with this version of
    JAX. They are kept in the user's cache, from which the same command shows them when it is given again.

    Args:
        name: of the model.
        batch: number of images.
        input: height and width of the images; by default those of the published figures.
        dtype: of the computation.
        training: tune a training step, with its gradients, instead of a prediction.
        again: measure again what was measured before.
    """
    import jax
    from rich.console import Console
    from rich.progress import track

    from zoo.messages import fail
    from zoo.ops.lowering.measured import (
        default_platform,
        device_of,
        read_user_table,
        user_table_path,
        write_user_table,
    )
    from zoo.ops.lowering.select import LOWERINGS
    from zoo.registry import model_info
    from zoo.tuning.stopwatch import DeviceStopwatch
    from zoo.tuning.tune import tune as tune_step

    size = model_info(name).input_size if input is None else input
    for option, value in (("--batch", batch), ("--input", size)):
        if value < 1:
            raise ValueError(f"{option} {value} must be at least 1")
    platform = default_platform()
    device = str(device_of(platform))
    step = (_training if training else _prediction)(name, batch, size, dtype)
    what = "training step" if training else "prediction"
    print(f"a {what} of {name}, {batch} images of {size}x{size}, {dtype}, on {device}", flush=True)
    before = read_user_table(device, LOWERINGS)
    try:
        table = tune_step(
            step,
            before,
            platform,
            DeviceStopwatch(jax.local_devices(backend=platform)[0], in_loop=training),
            again=again,
            track=lambda problems: track(
                problems, "measuring convolutions", console=Console(stderr=True), transient=True, disable=not problems
            ),
        )
    except KeyboardInterrupt:
        return fail("zoo", "interrupted, and nothing is kept", 130)
    if table is before:
        origin = f"read from {user_table_path(device)}; --again measures again"
    else:
        origin = f"written to {write_user_table(table, LOWERINGS)}"
    _print_convolutions(step, table, platform)
    print(f"\n{table.steps[step.fingerprint].describe(what)}\n{origin}")
    return 0


def _training(name: str, batch: int, size: int, dtype: str) -> Step:
    """The training step of `train.py` with the defaults of a config."""
    import numpy as np

    from zoo.data.dataset import ArraySplit, Dataset
    from zoo.registry import model_options
    from zoo.training.config import ModelConfig, TrainConfig
    from zoo.training.devices import Devices
    from zoo.training.optimizer import make_optimizer, make_schedule
    from zoo.training.step import Trainer
    from zoo.training.tuning import training_step

    model = _model(name, size, dtype)
    config = TrainConfig(model=ModelConfig(name, num_classes=model_options(name)["num_classes"]), batch_size=batch)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    split = ArraySplit(images, np.zeros(batch, np.int32))
    dataset = Dataset("random", (), size, split, split, (0.5,) * 3, (0.25,) * 3)
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 1000))
    trainer, state = Trainer.create(config, model, dataset, optimizer, Devices.find(1))
    return training_step(trainer, trainer.place(state), size)


def _prediction(name: str, batch: int, size: int, dtype: str) -> Step:
    """A batch of images through the fused model, as `zoo predict` has it."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    import zoo
    from zoo.tuning.step import Step, convolutions_of
    from zoo.tuning.stopwatch import repeated_calls

    graph, state = nnx.split(zoo.fuse(_model(name, size, dtype)))
    images = jnp.zeros((batch, size, size, 3))

    def predict(state: Any, images: jax.Array) -> jax.Array:
        logits: jax.Array = nnx.merge(graph, state, copy=True)(images)
        return logits

    def compile_prediction() -> Callable[[], float]:
        compiled = jax.jit(predict).lower(state, images).compile()
        return repeated_calls(lambda: compiled(state, images))

    return Step(False, convolutions_of(jax.make_jaxpr(predict)(state, images).jaxpr), compile_prediction)


def _model(name: str, size: int, dtype: str) -> Any:
    import jax.numpy as jnp

    import zoo
    from zoo.registry import model_options
    from zoo.training.experiment import LARGEST_SMALL_IMAGE

    options: dict[str, Any] = {"dtype": jnp.dtype(dtype)}
    if "small_images" in model_options(name):
        options["small_images"] = size <= LARGEST_SMALL_IMAGE
    return zoo.create_model(name, **options)


def _print_convolutions(step: Step, table: Measurements, platform: str) -> None:
    """What each convolution takes, in milliseconds, those first that save the most."""
    from zoo.ops.lowering.measured import milliseconds
    from zoo.tuning.tune import choice_of_rules, describe

    rows = []
    for problem, count in step.convolutions.items():
        found = table.of[problem]
        by_rules = choice_of_rules(problem, platform)
        fastest = min(found.seconds, key=found.seconds.__getitem__)
        saved = 0.0 if found.chosen is None else count * (found.seconds[by_rules] - found.seconds[found.chosen])
        cells = [describe(problem), str(count), milliseconds(found.seconds["native"])]
        for lowering in (by_rules, found.chosen or fastest):
            cells += [lowering, milliseconds(found.seconds[lowering])]
        rows.append((saved, count * found.seconds[by_rules], [*cells, milliseconds(saved) if found.chosen else ""]))
    numbers = ("count", "native", "ms", "ms ", "saved a step")
    print_table(
        ["convolution", "count", "native", "by the rules", "ms", "fastest", "ms ", "saved a step"],
        [cells for *_, cells in sorted(rows, key=lambda row: row[:2], reverse=True)],
        right=numbers,
    )
