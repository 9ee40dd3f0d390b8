"""A training run from its first step, or its last checkpoint, to its report."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any

import jax

from zoo.data.dataset import ArraySplit, Dataset
from zoo.ops.lowering.measured import use_measurements
from zoo.training import processes
from zoo.training.checkpoint import Checkpoints
from zoo.training.config import TrainConfig
from zoo.training.console import Display, say
from zoo.training.experiment import Experiment
from zoo.training.feed import Evaluator, Feed, ResidentFeed, StreamFeed
from zoo.training.metrics import EpochMetrics, MetricsLog
from zoo.training.optimizer import make_schedule
from zoo.training.results import write_results
from zoo.training.run_directory import RunDirectory, RunDirectoryError, basis_of_bits
from zoo.training.signals import StopRequest
from zoo.training.state import TrainState
from zoo.training.step import Trainer
from zoo.training.tasks.task import Findings
from zoo.user_cache import user_cache_directory

# How long Ctrl-C and the progress display may wait. Each dispatch takes its temporary memory from the system anew,
# which costs a CPU up to a fifth of a second (EfficientNet-B0 at width 0.5): that is why it is not shorter.
_SECONDS_PER_DISPATCH = 3.0


class NonFiniteLossError(Exception):
    """The loss, or what it leads to, became NaN or infinite."""


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        step: that was reached.
        stopped_by: the signal that stopped it before its end, or None if it is finished.
        compile_seconds: what compiling the training step took.
    """

    step: int
    stopped_by: signal.Signals | None
    compile_seconds: float


def train(experiment: Experiment, run: RunDirectory, stop: StopRequest, saved: TrainConfig | None = None) -> Result:
    """Trains from the newest checkpoint in the run's directory, or from the start if there is none.

    Args:
        experiment: what to train, on what and how.
        run: where everything is written.
        stop: asked after every dispatch; a signal ends the run with a checkpoint.
        saved: the config that the run had before, if it is continued.

    Raises:
        CheckpointError: if a checkpoint cannot be written, or none of those that are there can be used.
        DataUnavailableError: if examples cannot be read.
        NonFiniteLossError: if the loss or the state becomes NaN or infinite; the checkpoints from before stay.
        RunDirectoryError: if the run is further than the config goes; nothing is changed.
    """
    config, trainer, state = experiment.config, experiment.trainer, experiment.state
    total_steps, steps_per_epoch = experiment.total_steps, trainer.steps_per_epoch
    if config.compilation_cache:
        jax.config.update("jax_compilation_cache_dir", str(user_cache_directory() / "xla"))

    with use_measurements(experiment.lowerings), Checkpoints(run.checkpoints) as checkpoints:
        reached = checkpoints.latest_step()
        if reached is not None and reached > total_steps:
            raise RunDirectoryError(
                f"{run.root} has trained {reached / steps_per_epoch:g} epochs, more than epochs={config.epochs}"
            )
        before = run.environment_before() if saved is not None else {}
        if processes.is_first():
            run.describe(
                config,
                trainer.devices,
                experiment.lowerings.choosing,
                experiment.start_weights,
                experiment.data_identity,
            )
        state = trainer.place(experiment.state)
        if reached is not None:
            state = checkpoints.restore(state)
        start_step = int(state.step)
        if saved is not None:
            say("there is no checkpoint yet" if reached is None else f"goes on from the checkpoint of step {reached}")
        if changed := _describe_new_environment(before, basis_of_bits(trainer.devices), config):
            say(changed)
        if saved is not None and saved.epochs != config.epochs:
            say(_describe_new_schedule(experiment, saved, start_step))
        started = time.perf_counter()
        feed = _make_feed(trainer, experiment.dataset, state)
        compile_seconds = time.perf_counter() - started
        evaluate = Evaluator(trainer, experiment.dataset.test, config.eval_batch_size)
        findings: Findings | None = None
        speed, stopped_by = 0.0, 0
        with (
            closing(feed),
            MetricsLog(run.root, resume_step=start_step) if processes.is_first() else nullcontext() as log,
            Display(total_steps, steps_per_epoch, start_step) as display,
        ):
            while int(state.step) < total_steps and not stopped_by:
                first_step = int(state.step)
                state, seconds, stopped_by = _finish_epoch(trainer, feed, state, speed, stop, display)
                step = int(state.step)
                if step == first_step:
                    break
                if (bad := state.first_non_finite()) is not None:  # the last update is in no loss yet
                    raise NonFiniteLossError(f"{bad} is not finite after step {step - 1}")
                speed = (step - first_step) / seconds
                if step % steps_per_epoch == 0:
                    findings = evaluate(state)
                    figures = dict(trainer.task.figures(findings))
                    metrics = EpochMetrics(
                        step=step,
                        epoch=step // steps_per_epoch,
                        learning_rate=float(experiment.schedule(step - 1)),
                        train_loss=state.sums.mean_loss,
                        train_accuracy=state.sums.accuracy,
                        test_loss=figures.pop("test_loss"),
                        test_accuracy=figures.pop("test_accuracy"),
                        images_per_second=speed * config.batch_size,
                        seconds=seconds,
                        more=figures,
                    )
                    # Before the checkpoint: on resume a line too many is dropped, one too few would be missing.
                    if log is not None:
                        log.write(metrics)
                    display.epoch(metrics)
                    if metrics.epoch % config.checkpoint_every == 0:
                        checkpoints.save(step, state)
            checkpoints.save(int(state.step), state)

        finished = int(state.step) == total_steps
        if finished:
            findings = evaluate(state) if findings is None else findings
            if processes.is_first():
                write_results(run, experiment, state, findings)
    return Result(
        step=int(state.step),
        stopped_by=None if finished else signal.Signals(stopped_by),
        compile_seconds=compile_seconds,
    )


def _describe_new_environment(before: Mapping[str, Any], now: Mapping[str, str], config: TrainConfig) -> str | None:
    """What has changed for a run that goes on elsewhere, and what comes of it; None for nothing."""
    changed = [name for name, value in now.items() if before.get(name, value) != value]
    if not changed:
        return None
    was = ", ".join(f"on {before[name]}" if name == "devices" else f"with {name} {before[name]}" for name in changed)
    effect = "its figures are the same up to rounding, not to the bit"
    if config.batch_norm == "per-device" and "devices" in changed:
        effect = "batch norm may be over other shares of a batch"
    return f"was {was} before: from here on {effect}"


def _describe_new_schedule(experiment: Experiment, saved: TrainConfig, step: int) -> str:
    """How the learning rate changes where a run goes on with another number of epochs."""
    config, steps_per_epoch = experiment.config, experiment.trainer.steps_per_epoch
    before = make_schedule(saved.optimizer, saved.epochs * steps_per_epoch)(step)
    return (
        f"epochs is {config.epochs} and was {saved.epochs}: the schedule is that of the new length, and the learning "
        f"rate goes from {float(before):.3g} to {float(experiment.schedule(step)):.3g} at step {step}"
    )


def _make_feed(trainer: Trainer, dataset: Dataset, state: TrainState) -> Feed:
    if isinstance(dataset.train, ArraySplit):
        return ResidentFeed(trainer, dataset.train, state)
    image_size = dataset.train_image_size or dataset.image_size
    return StreamFeed(trainer, dataset.train, state, image_size=image_size, workers=trainer.config.data.workers)


def _finish_epoch(
    trainer: Trainer, feed: Feed, state: TrainState, speed: float, stop: StopRequest, display: Display
) -> tuple[TrainState, float, int]:
    """Trains to the end of the epoch or until a stop is asked for.

    `speed` is the expected number of steps per second, or 0 if it is not known. Gives the state, the seconds it took,
    and the signal that asks for a stop, or 0.
    """
    first_step = step = int(state.step)
    seconds = 0.0
    while True:
        remaining = trainer.steps_per_epoch - step % trainer.steps_per_epoch
        stopped_by, steps = processes.agree(
            stop.signal or 0, min(remaining, max(1, round(speed * _SECONDS_PER_DISPATCH)))
        )
        if stopped_by:
            return state, seconds, stopped_by
        started = time.perf_counter()
        state = feed.advance(state, steps)
        step = int(state.step)  # waits for the device
        seconds += time.perf_counter() - started
        speed = (step - first_step) / seconds
        if state.first_bad_step >= 0:
            raise NonFiniteLossError(f"the loss is not finite at step {state.first_bad_step}")
        display.update(step, state.sums.mean_loss, state.sums.accuracy, speed * trainer.config.batch_size)
        if step % trainer.steps_per_epoch == 0:
            return state, seconds, 0
