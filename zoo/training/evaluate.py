"""`evaluate`: a finished run, or any weights, on a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax

from zoo.data import image_folder, mask_folder
from zoo.data.dataset import Dataset
from zoo.data.fair import relabelled
from zoo.data.names import is_data_set
from zoo.models._views import AveragedViews
from zoo.ops.lowering.measured import RULES_ALONE, use_measurements
from zoo.preprocessing import Preprocessing
from zoo.registry import create_model, model_info
from zoo.task_names import TaskName
from zoo.training import config as config_module
from zoo.training.config import CONFIG_FILE, DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from zoo.training.devices import Devices
from zoo.training.experiment import load_data, require_task
from zoo.training.feed import Evaluator
from zoo.training.run_directory import RunDirectory
from zoo.training.step import Trainer
from zoo.training.tasks.task import Evaluation
from zoo.weights.checkpoint import find_checkpoint, model_of

_BATCH = 32  # examples at a time, where no run says how many

_FolderLoader = Callable[[Path, int, Preprocessing | None, Sequence[str]], Dataset]
_LOAD_FOLDER: dict[TaskName, _FolderLoader] = {
    "classification": lambda folder, size, how, names: image_folder.load_test(folder, size, how),
    "segmentation": lambda folder, size, how, names: mask_folder.load_test(folder, size, names),
}


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What was evaluated on what, and what came of it.

    Attributes:
        model: name of the net.
        data: name of the data set.
        examples: in its test set.
        notes: what the user has to know, in a line each.
        evaluation: the figures.
    """

    model: str
    data: str
    examples: int
    notes: tuple[str, ...]
    evaluation: Evaluation

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes that the net tells apart."""
        return self.evaluation.class_names


def evaluate(
    source: str | Path,
    data: str | None = None,
    *,
    directory: Path | None = None,
    model: str | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    window: int | None = None,
) -> Evaluated:
    """Evaluates a net on a test set.

    For a run on its own data this is what the run itself did after its last epoch, to the bit on the same devices.

    Args:
        source: directory of a run, a file of weights, zoo/NAME, torchvision/NAME or timm/NAME.
        data: a data set's name, as in a config, or a directory: of the pictures in `DIR/test`, or `DIR/valid` or
            `DIR/val`, or else in `DIR` itself, in a folder for each class; for a segmentation net in a folder `images`
            with their masks in `masks`. None for the data of the run.
        directory: where the data set is; None for the usual place, or that of the run.
        model: the name of the model, where weights do not tell.
        scales, flip, window: of a segmentation net, whose views are averaged as `zoo.AveragedViews` does it.

    Raises:
        DataUnavailableError: if the data is not there and cannot be had.
        FileNotFoundError: if there are no weights.
        WeightsUnavailableError: if the weights cannot be fetched or read.
        ValueError: if weights, model and data do not fit together, or it is not known on what to evaluate.
    """
    run = RunDirectory(Path(source))
    is_run = (run.root / CONFIG_FILE).is_file() and not (run.root / "model.safetensors").is_file()
    if is_run and not run.weights.is_file():
        raise FileNotFoundError(f"the run in {run.root} has no weights yet; --resume {run.root} finishes it")
    if data is None and not is_run:
        raise ValueError(f"{source} is no run, which would know its data; say by --data on what to evaluate")
    checkpoint = find_checkpoint(source)
    if is_run:
        config, lowerings = config_module.of_run(run.root), run.lowerings_before()
        start = run.read_start_weights()
        preprocessing = None if start is None else start.preprocessing
    else:
        config = TrainConfig(model=ModelConfig(model_of(checkpoint, model)), eval_batch_size=_BATCH)
        lowerings, preprocessing = RULES_ALONE, checkpoint.preprocessing
    net = create_model(config.model.name, weights=checkpoint, dtype=jnp.dtype(config.model.dtype))
    if not net.num_classes:
        raise ValueError(f"{source} has no head to evaluate")
    classes, names = net.num_classes, checkpoint.class_names(net.num_classes)
    views = _describe_views(scales, flip, window)
    judged = AveragedViews(net, scales, flip, window) if views else net
    if data is None:
        wanted = config.data if directory is None else replace(config.data, directory=directory)
        dataset = load_data(replace(config, data=wanted), preprocessing)
    elif is_data_set(data):
        dataset = load_data(replace(config, data=DataConfig(data, directory)), preprocessing)
    else:
        size = checkpoint.preprocessing.input_size if checkpoint.preprocessing else config.data.image_size
        load_folder = _LOAD_FOLDER[model_info(config.model.name).task]
        dataset = load_folder(Path(data), size, preprocessing, names or _numbered(classes))
    require_task(config.model.name, dataset)
    dataset = replace(dataset, test=relabelled(dataset.test, _labels(dataset, names, classes, str(source))))
    if checkpoint.preprocessing is not None:
        dataset = replace(dataset, mean=checkpoint.preprocessing.mean, std=checkpoint.preprocessing.std)
    config = replace(
        config,
        model=replace(config.model, num_classes=classes),
        optimizer=OptimizerConfig(),
        ema_decay=None,
        batch_norm="global",
        balance="none",
    )
    trainer, state = Trainer.create(config, judged, dataset, optax.identity(), Devices.find(config.devices))
    with use_measurements(lowerings):
        findings = Evaluator(trainer, dataset.test, config.eval_batch_size)(trainer.place(state))
    evaluation = trainer.task.evaluation(findings, names or dataset.class_names)
    notes = tuple(filter(None, (dataset.note, views)))
    return Evaluated(config.model.name, dataset.name, len(dataset.test), notes, evaluation)


def _describe_views(scales: Sequence[float], flip: bool, window: int | None) -> str:
    """What to say of the views that are averaged; nothing for the image as it is."""
    if (tuple(scales), flip, window) == ((1.0,), False, None):
        return ""
    parts = [f"averaged over the image at the scales {', '.join(f'{scale:g}' for scale in scales)}"]
    parts += ["each also mirrored"] * flip
    parts += [] if window is None else [f"in windows of {window} pixels"]
    return ", ".join(parts)


def _numbered(classes: int) -> list[str]:
    return [f"class {number}" for number in range(classes)]


def _labels(dataset: Dataset, names: Sequence[str] | None, classes: int, source: str) -> np.ndarray:
    """Label in the data -> class of the net, int32.

    Raises:
        ValueError: if the net does not know a class of the data.
    """
    if names is None:
        if len(dataset.class_names) != classes:
            raise ValueError(
                f"{source} tells {classes} classes apart, whose names it does not say, and {dataset.name} has "
                f"{len(dataset.class_names)}"
            )
        return np.arange(classes, dtype=np.int32)
    unknown = [name for name in dataset.class_names if name not in names]
    if unknown:
        raise ValueError(
            f"{source} does not know the classes {', '.join(unknown[:5])}{', ...' * (len(unknown) > 5)} of "
            f"{dataset.name}; it knows {', '.join(names[:5])}{', ...' * (len(names) > 5)}"
        )
    return np.array([names.index(name) for name in dataset.class_names], np.int32)
