"""What a finished run leaves: test figures, weights, and a report."""

from __future__ import annotations

from typing import Any, TypedDict

import jax
import numpy as np
import optax
from flax import nnx

from zoo.data.dataset import Dataset
from zoo.registry import model_options
from zoo.training import metrics
from zoo.training.config import TrainConfig
from zoo.training.report import write_report
from zoo.training.run_directory import RunDirectory
from zoo.training.state import TrainState
from zoo.training.step import Trainer
from zoo.weights.safetensors import save_weights


class Evaluation(TypedDict):
    """Loss and accuracy on the test set."""

    test_loss: float
    test_accuracy: float


def measure(logits: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Mean cross-entropy and accuracy of logits (N, classes) for labels (N,)."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return {"test_loss": float(loss), "test_accuracy": float(np.mean(logits.argmax(-1) == labels))}


def options_of_model(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """The options with which `zoo.create_model` builds the model of a config for a data set.

    Raises:
        ValueError: if the model would have fewer classes than the data.
    """
    model, classes = config.model, len(dataset.class_names)
    if model.num_classes is not None and model.num_classes < classes:
        raise ValueError(f"model.num_classes={model.num_classes} is less than the {classes} classes of {dataset.name}")
    small_form: dict[str, bool] = {}
    if model.small_images is not None or "small_images" in model_options(model.name):
        small_form["small_images"] = model.small_images is not False
    optional = {"width": model.width, "dropout": model.dropout, "drop_path": model.drop_path}
    return {
        "num_classes": model.num_classes or classes,
        **small_form,
        **{name: value for name, value in optional.items() if value is not None},
    }


def write_results(
    run: RunDirectory,
    trainer: Trainer,
    state: TrainState,
    dataset: Dataset,
    logits: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Writes `weights.safetensors` and `report.png` of a finished run.

    Args:
        run: where to.
        trainer: knows the model's structure.
        state: the last one.
        dataset: that was trained on.
        logits: of its test set, shape (N, classes).
        labels: of its test set, shape (N,).
    """
    config = trainer.config
    params, batch_stats = state.evaluated
    model = nnx.merge(trainer.eval_graph, params, trainer.random_state, batch_stats)
    description = {
        "model": config.model.name,
        "options": options_of_model(config, dataset),
        "class_names": dataset.class_names,
        "image_size": dataset.image_size,
        "mean": dataset.mean,
        "std": dataset.std,
    }
    save_weights(model, run.weights, description)
    write_report(
        run.report,
        metrics.read(run.root),
        labels,
        np.asarray(jax.nn.softmax(logits)),
        lambda indices: np.stack([dataset.test[int(index)]["image"] for index in indices]),
        dataset.class_names,
        title=config.name,
    )
