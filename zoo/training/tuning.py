"""The training step as something to tune, and the measured lowerings that a run starts with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import jax
import numpy as np

from zoo.ops.lowering.measured import (
    Measurements,
    StepTimes,
    default_platform,
    device_of,
    read_user_table,
    write_user_table,
)
from zoo.ops.lowering.select import LOWERINGS
from zoo.training import processes
from zoo.training.console import say
from zoo.training.state import TrainState
from zoo.training.step import Trainer
from zoo.tuning.step import Step, convolutions_of
from zoo.tuning.stopwatch import DeviceStopwatch
from zoo.tuning.tune import conclude, measure_convolutions, measure_step, unmeasured

if TYPE_CHECKING:
    from zoo.training.experiment import Experiment

_STEPS = 2  # a dispatch, in which the whole step is timed


def find_lowerings(experiment: Experiment, *, tune: bool) -> Measurements:
    """The user's table for the device of a run, that of the first process where there are several.

    Args:
        experiment: that is to be run.
        tune: whether to measure first what is not in it; the first process times the convolutions, all time the step.
    """
    platform = default_platform()
    device = str(device_of(platform))
    table = _of_first(lambda: read_user_table(device, LOWERINGS))
    if not tune:
        return table
    trainer = experiment.trainer
    step = training_step(trainer, trainer.place(experiment.state), experiment.dataset.image_size)
    problems, is_step_known = unmeasured(step, table, platform), step.fingerprint in table.steps
    if problems:
        say(f"measures the lowerings of {len(problems)} convolutions and gradients on {device}, which can take minutes")
    stopwatch = DeviceStopwatch(trainer.devices.mesh.local_devices[0], in_loop=True)
    table = _of_first(lambda: measure_convolutions(problems, table, platform, stopwatch))
    if problems or not is_step_known:
        times = measure_step(step, table)  # by all processes, which run it together
        table = conclude(step, table, StepTimes(**processes.from_first(lambda: asdict(times))))
        processes.together(lambda: write_user_table(table, LOWERINGS) if processes.is_first() else None)
    say(table.steps[step.fingerprint].describe("training step"))
    return table


def _of_first(make: Callable[[], Measurements]) -> Measurements:
    """The table that the first process makes, in all of them."""
    return Measurements.from_json(processes.from_first(lambda: make().to_json()), LOWERINGS)


def training_step(trainer: Trainer, state: TrainState, image_size: int) -> Step:
    """The training step of a run, for images of so many pixels a side.

    Args:
        trainer: of the run.
        state: on the devices; it is not changed.
        image_size: height and width of the images.
    """
    devices, task = trainer.devices, trainer.task
    images, labels = trainer.abstract_batch(image_size)
    jaxpr = jax.make_jaxpr(trainer.train_step)(state, images, labels).jaxpr

    def compile_step() -> Callable[[], float]:
        """Without donation, so that every call can start from the same state."""
        random = np.random.default_rng(0)
        epoch = devices.place(
            (
                random.integers(0, 256, images.shape, np.uint8),
                random.integers(0, task.num_classes, labels.shape, labels.dtype),
            ),
            devices.replicated,
        )
        train_chunk = jax.jit(trainer.train_chunk, out_shardings=trainer.shardings_of(state))
        with devices.entered():
            compiled = train_chunk.lower(state, *epoch, np.int32(_STEPS)).compile()

        def run() -> float:
            started = time.perf_counter()
            jax.block_until_ready(compiled(state, *epoch, np.int32(_STEPS)))
            return (time.perf_counter() - started) / _STEPS

        return run

    return Step(True, convolutions_of(jaxpr, devices.count), compile_step)
