"""`build`: from a config to everything that a run needs, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.load import load
from zoo.ops.lowering.measured import RULES_ALONE, Measurements, default_platform, device_of
from zoo.preprocessing import Preprocessing
from zoo.registry import check_options, create_model, model_info, model_options
from zoo.training.config import ModelConfig, TrainConfig, flatten
from zoo.training.devices import Devices
from zoo.training.feed import is_replicated
from zoo.training.optimizer import delayed_steps, make_optimizer, make_schedule, resolve
from zoo.training.start_weights import StartWeights
from zoo.training.state import TrainState
from zoo.training.step import Trainer
from zoo.training.tuning import training_step
from zoo.weights.checkpoint import Checkpoint, find_checkpoint
from zoo.weights.numerics import Numerics

_OPTIONS = ("num_classes", "width", "dropout", "drop_path", "small_images")  # of a config that are a model's
_OF_A_HOST = ("data.directory", "data.workers", "compilation_cache")  # fields that may differ between processes
LARGEST_SMALL_IMAGE = 64  # pixels a side; above it a net takes its ImageNet form


@dataclass(frozen=True, eq=False)
class Experiment:
    """A run that can start.

    Attributes:
        config: with every choice that was left open made: no `model.width=None` for a model that has a width.
        dataset: the examples; `mean` and `std` are those of the start weights where these say theirs.
        normalization: where `mean` and `std` come from.
        schedule: step -> learning rate.
        total_steps: of the whole run.
        trainer: the functions that train and evaluate.
        state: to start from, in this process; `trainer.place` puts it on the devices.
        start_weights: what is kept of the weights that the run starts from; None for a random start.
        lowerings: that were measured; where there is none for the device of the run, the rules decide.
    """

    config: TrainConfig
    dataset: Dataset
    normalization: str
    schedule: optax.Schedule
    total_steps: int
    trainer: Trainer
    state: TrainState
    start_weights: StartWeights | None = None
    lowerings: Measurements = RULES_ALONE

    @property
    def parameters(self) -> int:
        """Learnable scalars of the model, those that are frozen among them."""
        return _size(self.state.params) + self.frozen_parameters

    @property
    def frozen_parameters(self) -> int:
        """Learnable scalars of the model that stay as they are."""
        return _size(nnx.filter_state(self.state.frozen, nnx.Param))

    @property
    def weights_description(self) -> dict[str, Any]:
        """What is written beside the weights of the run, so that they load and predict without its config."""
        dataset, classes, how = self.dataset, self.trainer.task.num_classes, self.dataset.preprocessing
        unnamed = range(len(dataset.class_names), classes)
        return {
            "model": self.config.model.name,
            "options": _options(self.config.model),
            "class_names": [*dataset.class_names, *(f"class {number}" for number in unnamed)],
            "image_size": dataset.image_size,
            **({} if how is None else {"resize_size": how.resize_size, "interpolation": how.interpolation}),
            "mean": dataset.mean,
            "std": dataset.std,
        }

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same in all processes of a run, as JSON holds it."""
        values = {name: value for name, value in flatten(self.config).items() if name not in _OF_A_HOST}
        return {
            **{name: str(value) if isinstance(value, Path) else value for name, value in values.items()},
            **self.data_identity,
            "having all training images on each device": self._is_replicated,
            "the version of jax": jax.__version__,
        }

    @property
    def data_identity(self) -> dict[str, Any]:
        """What tells whether the data is still the same, as JSON holds it."""
        dataset = self.dataset
        return {
            "the number of training examples": len(dataset.train),
            "the number of test examples": len(dataset.test),
            "the classes": list(dataset.class_names),
            "the training examples": getattr(dataset.train, "fingerprint", None),
            "the test examples": getattr(dataset.test, "fingerprint", None),
        }

    def describe(self) -> list[str]:
        """What will be trained on what, in a line each."""
        model, dataset = self.config.model, self.dataset
        form = {True: ", its form for small images", False: ", its ImageNet form", None: ""}[model.small_images]
        named = {name: getattr(model, name) for name in ("width", "dropout", "drop_path")}
        shown = {name: value for name, value in named.items() if value not in (None, 0.0)} | dict(model.options)
        given = ", ".join(f"{name} {value}" for name, value in shown.items())
        lines = [
            f"{model.name}{form}: {self.parameters:,} parameters{given and ', ' + given}",
            f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test images of "
            f"{dataset.image_size}x{dataset.image_size} pixels, {len(dataset.class_names)} classes",
        ]
        if dataset.note:
            lines.append(dataset.note)
        if (size := dataset.train_image_size) is not None:
            lines.append(f"training pictures are read at {size}x{size} pixels, out of which random crops are taken")
        if self.frozen_parameters:
            lines.append(f"{self.frozen_parameters:,} parameters are frozen: {', '.join(self.config.optimizer.freeze)}")
        for pattern, steps in delayed_steps(self.config.optimizer, self.total_steps).items():
            lines.append(f"{pattern} begins to learn after {steps:,} steps")
        if model.num_classes != len(dataset.class_names):
            lines.append(f"the model tells {model.num_classes} classes apart, more than the data has")
        lines.append(self._describe_devices())
        lines += self._describe_lowerings()
        if model.weights is not None:
            lines.append(f"starts from {model.weights}; pixels are normalised as {self.normalization}")
            if (how := dataset.preprocessing) is not None:
                lines[-1] += (
                    f", and test pictures resized to {how.resize_size} pixels ({how.interpolation}) and cropped to "
                    f"{how.input_size}"
                )
        return lines

    @property
    def _is_replicated(self) -> bool | None:
        """Whether each device has all training images; None where they stream."""
        train = self.dataset.train
        return is_replicated(train, self.trainer.devices) if isinstance(train, ArraySplit) else None

    def _describe_devices(self) -> str:
        devices, train = self.trainer.devices, self.dataset.train
        line = f"on {devices.describe()}"
        if devices.count == 1:
            return line
        batch_size = self.config.batch_size
        line += f", {batch_size // devices.count} of the {batch_size} examples of a step on each"
        if not isinstance(train, ArraySplit):
            return line
        megabytes = train.images.nbytes / 1e6
        if self._is_replicated:
            return f"{line}; the training images, {megabytes:,.0f} MB, are on every device"
        return f"{line}; the training images are split, {megabytes / devices.count:,.0f} MB on each device"

    def _describe_lowerings(self) -> list[str]:
        """Where measured lowerings come from, and how many; nothing if there are none."""
        table, device = self.lowerings, device_of(default_platform())
        if not table.choosing.of:
            return []
        if not table.is_for(device):
            of_run, here = f"{table.device} with JAX {table.jax_version}", f"{device} with JAX {jax.__version__}"
            return [f"the lowerings that were measured on {of_run} are not used on {here}"]
        step = training_step(self.trainer, self.state, self.dataset.image_size)
        measured = sum(problem in table.choosing.of for problem in step.convolutions)
        if not measured:
            return []
        return [f"{measured} of {len(step.convolutions)} lowerings of a step come from measurements on {device}"]


def build(config: TrainConfig, start_weights: StartWeights | None = None) -> Experiment:
    """Loads the data, makes the model and tries one abstract step; writes nothing, and asks no other process.

    Args:
        config: of the run.
        start_weights: that the run started from, where it goes on from a checkpoint: they are not read again.

    Raises:
        DataUnavailableError: if the data is not there and cannot be had.
        WeightsUnavailableError: if the start weights cannot be fetched or read.
        FileNotFoundError: if there are no weights at the given path.
        ValueError: if config, data, model and weights do not fit together.
    """
    devices = Devices.find(config.devices)
    given = config.model.weights
    checkpoint = find_checkpoint(given) if given is not None and start_weights is None else None
    weights = start_weights if checkpoint is None else StartWeights.of(checkpoint)
    dataset = load_data(config, None if weights is None else weights.preprocessing)
    require_task(config.model.name, dataset)
    if config.batch_size > len(dataset.train):
        raise ValueError(f"batch_size={config.batch_size} is more than the {len(dataset.train)} training examples")
    devices.check_batch(config.batch_size, config.gradient_accumulation)
    normalization = "is usual for the data"
    if weights is not None and (preprocessing := weights.preprocessing) is not None:
        dataset = replace(dataset, mean=preprocessing.mean, std=preprocessing.std)
        normalization = "the weights were trained with"
    name = config.name or f"{config.model.name}_{config.data.name.replace('/', '_')}"
    model_config = _resolve(config.model, dataset, weights)
    config = replace(config, name=name, model=model_config, optimizer=resolve(config.optimizer))
    model = _make_model(config, checkpoint, start_weights)
    if weights is not None:
        weights = replace(weights, numerics=Numerics.of(model))

    total_steps = config.epochs * (len(dataset.train) // config.batch_size)
    schedule = make_schedule(config.optimizer, total_steps)
    optimizer = make_optimizer(config.optimizer, schedule, model, total_steps)
    trainer, state = Trainer.create(config, model, dataset, optimizer, devices)
    _try_abstractly(trainer, state, dataset.image_size)
    return Experiment(config, dataset, normalization, schedule, total_steps, trainer, state, weights)


def load_data(config: TrainConfig, preprocessing: Preprocessing | None) -> Dataset:
    """The data of a run, whose test pictures are resized and cropped as its start weights say, if they do.

    Raises:
        DataUnavailableError: if the data is not there and cannot be had.
        ValueError: if it cannot be used so.
    """
    data = config.data
    return load(
        data.name,
        data.directory,
        image_size=data.image_size,
        train_examples=data.train_examples,
        test_examples=data.test_examples,
        test_share=data.test_share,
        skip_unreadable=data.skip_unreadable,
        random_crops=config.augment.random_resized_crop > 0,
        preprocessing=preprocessing,
        seed=config.seed,
    )


def require_task(model: str, dataset: Dataset) -> None:
    """Raises ValueError if a model is for another task than the data."""
    task = model_info(model).task
    if task != dataset.task:
        raise ValueError(
            f"{model} is for {task}, and {dataset.name} is for {dataset.task}; `zoo list --task {dataset.task}` shows "
            "what learns from it"
        )


def _resolve(model: ModelConfig, dataset: Dataset, weights: StartWeights | None) -> ModelConfig:
    """The model's config with a value in the place of each None, as far as the model has such an option."""
    classes = len(dataset.class_names)
    if model.num_classes is not None and model.num_classes < classes:
        raise ValueError(f"model.num_classes={model.num_classes} is less than the {classes} classes of {dataset.name}")
    usual = model_options(model.name)
    if "small_images" in usual:
        usual["small_images"] = dataset.image_size <= LARGEST_SMALL_IMAGE
    if weights is not None and weights.model == model.name:
        usual |= weights.options
    check_options(model.name, model.options)
    usual["num_classes"] = classes
    resolved: dict[str, Any] = {name: usual.get(name) for name in _OPTIONS if getattr(model, name) is None}
    return replace(model, **resolved)


def _make_model(config: TrainConfig, checkpoint: Checkpoint | None, start_weights: StartWeights | None) -> nnx.Module:
    """The model with the weights of a checkpoint; or only made as it was with start weights that it is not to read."""
    model = config.model
    rngs, dtype, options = nnx.Rngs(config.seed), jnp.dtype(model.dtype), _options(model)
    if start_weights is None:
        return create_model(model.name, rngs=rngs, weights=checkpoint, dtype=dtype, **options)
    said = start_weights.options if start_weights.model == model.name else {}
    made = create_model(model.name, rngs=rngs, dtype=dtype, **said | options)
    if start_weights.numerics is not None:
        start_weights.numerics.apply(made)
    return made


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _options(model: ModelConfig) -> dict[str, Any]:
    return {name: value for name in _OPTIONS if (value := getattr(model, name)) is not None} | dict(model.options)


def _try_abstractly(trainer: Trainer, state: TrainState, image_size: int) -> None:
    """Traces a training step and an evaluation step, which computes nothing.

    Raises:
        ValueError: if the model cannot take the images.
    """
    config = trainer.config
    images, labels = trainer.abstract_batch(image_size)
    try:
        jax.eval_shape(trainer.judge, state, images, labels, jax.ShapeDtypeStruct(images.shape[:1], bool))
        jax.eval_shape(trainer.train_step, state, images, labels)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{config.model.name} cannot train on images of {image_size}x{image_size} pixels: {reason}"
        ) from error
