"""A training run from its config to its report."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.load import load
from zoo.models.classifier import ImageClassifier
from zoo.registry import create_model
from zoo.training.checkpoint import Checkpoints
from zoo.training.config import TrainConfig
from zoo.training.console import Display
from zoo.training.feed import Evaluator, Feed, ResidentFeed, StreamFeed
from zoo.training.metrics import EpochMetrics, MetricsLog
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.results import measure, options_of_model, write_results
from zoo.training.run_directory import RunDirectory
from zoo.training.signals import StopRequest
from zoo.training.state import TrainState
from zoo.training.step import Trainer
from zoo.user_cache import user_cache_directory

_SECONDS_PER_DISPATCH = 1.0  # how long Ctrl-C and the progress display may wait


class NonFiniteLossError(Exception):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        step: that was reached.
        stopped_by: the signal that stopped it before its end, or None if it is finished.
        parameters: learnable scalars of the model.
        compile_seconds: what compiling the training step took.
    """

    step: int
    stopped_by: signal.Signals | None
    parameters: int
    compile_seconds: float


def train(config: TrainConfig, run: RunDirectory) -> Result:
    """Trains as the config says, from the newest checkpoint in the run's directory if there is one.

    SIGINT and SIGTERM stop it after the current dispatch, with a checkpoint.

    Raises:
        DataUnavailableError: if the data is not there and cannot be had.
        NonFiniteLossError: if the loss becomes NaN or infinite; the checkpoints from before stay.
        ValueError: if config, data and weights do not fit together.
    """
    if config.compilation_cache:
        jax.config.update("jax_compilation_cache_dir", str(user_cache_directory() / "xla"))
    data = config.data
    dataset = load(
        data.name,
        data.directory,
        image_size=data.image_size,
        train_examples=data.train_examples,
        test_examples=data.test_examples,
    )
    steps_per_epoch = len(dataset.train) // config.batch_size
    if steps_per_epoch == 0:
        raise ValueError(f"batch_size={config.batch_size} is more than the {len(dataset.train)} training examples")
    total_steps = config.epochs * steps_per_epoch
    model = make_model(config, dataset)
    schedule = make_schedule(config.optimizer, total_steps)
    trainer, state = Trainer.create(config, model, dataset, make_optimizer(config.optimizer, schedule))

    with Checkpoints(run.checkpoints) as checkpoints:
        if checkpoints.latest_step() is not None:
            state = checkpoints.restore(state)
        start_step = int(state.step)
        started = time.perf_counter()
        feed = _make_feed(trainer, dataset, state)
        compile_seconds = time.perf_counter() - started
        evaluate = Evaluator(trainer, dataset.test, config.eval_batch_size)
        predictions: tuple[np.ndarray, np.ndarray] | None = None
        speed = 0.0
        with (
            StopRequest() as stop,
            MetricsLog(run.root, resume_step=start_step) as log,
            Display(total_steps, steps_per_epoch, start_step) as display,
        ):
            while int(state.step) < total_steps and stop.signal is None:
                first_step = int(state.step)
                state, seconds = _finish_epoch(trainer, feed, state, speed, stop, display)
                step = int(state.step)
                speed = (step - first_step) / seconds
                if step % steps_per_epoch == 0:
                    predictions = evaluate(state)
                    metrics = EpochMetrics(
                        step=step,
                        epoch=step // steps_per_epoch,
                        learning_rate=float(schedule(step - 1)),
                        train_loss=state.sums.mean_loss,
                        train_accuracy=state.sums.accuracy,
                        **measure(*predictions),
                        images_per_second=speed * config.batch_size,
                        seconds=seconds,
                    )
                    # Before the checkpoint: on resume a line too many is dropped, one too few would be missing.
                    log.write(metrics)
                    display.epoch(metrics)
                    if metrics.epoch % config.checkpoint_every == 0:
                        checkpoints.save(step, state)
            checkpoints.save(int(state.step), state)

    finished = int(state.step) == total_steps
    if finished:
        write_results(run, trainer, state, dataset, *(predictions or evaluate(state)))
    return Result(
        step=int(state.step),
        stopped_by=None if finished else stop.signal,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        compile_seconds=compile_seconds,
    )


def make_model(config: TrainConfig, dataset: Dataset) -> ImageClassifier:
    """The model of a config for a data set, initialised from the config's seed or from its weights.

    Raises:
        ValueError: if the model lacks an option, has fewer classes than the data, or does not fit the weights.
    """
    return create_model(
        config.model.name,
        rngs=nnx.Rngs(config.seed),
        weights=config.model.weights,
        dtype=jnp.dtype(config.model.dtype),
        **options_of_model(config, dataset),
    )


def _make_feed(trainer: Trainer, dataset: Dataset, state: TrainState) -> Feed:
    if isinstance(dataset.train, ArraySplit):
        return ResidentFeed(trainer, dataset.train, state)
    return StreamFeed(trainer, dataset.train, state, image_size=dataset.image_size, workers=trainer.config.data.workers)


def _finish_epoch(
    trainer: Trainer, feed: Feed, state: TrainState, speed: float, stop: StopRequest, display: Display
) -> tuple[TrainState, float]:
    """Trains to the end of the epoch or until a stop is asked for; gives the state and the seconds it took.

    `speed` is the expected number of steps per second, or 0 if it is not known.
    """
    first_step = step = int(state.step)
    seconds = 0.0
    while True:
        remaining = trainer.steps_per_epoch - step % trainer.steps_per_epoch
        started = time.perf_counter()
        state = feed.advance(state, min(remaining, max(1, round(speed * _SECONDS_PER_DISPATCH))))
        step = int(state.step)  # waits for the device
        seconds += time.perf_counter() - started
        speed = (step - first_step) / seconds
        if state.first_bad_step >= 0:
            raise NonFiniteLossError(f"the loss is not finite at step {state.first_bad_step}")
        display.update(step, state.sums.mean_loss, state.sums.accuracy, speed * trainer.config.batch_size)
        if step % trainer.steps_per_epoch == 0 or stop.signal is not None:
            return state, seconds
