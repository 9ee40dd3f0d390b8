"""What a finished run leaves: test figures, weights, and a report."""

from __future__ import annotations

from typing import TypedDict

import jax
import numpy as np
import optax
from flax import nnx

from zoo.training import metrics
from zoo.training.experiment import Experiment
from zoo.training.report import write_report
from zoo.training.run_directory import RunDirectory
from zoo.training.state import TrainState
from zoo.weights.safetensors import save_weights


class Evaluation(TypedDict):
    """Loss and accuracy on the test set."""

    test_loss: float
    test_accuracy: float


def measure(logits: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Mean cross-entropy and accuracy of logits (N, classes) for labels (N,)."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return {"test_loss": float(loss), "test_accuracy": float(np.mean(logits.argmax(-1) == labels))}


def write_results(
    run: RunDirectory, experiment: Experiment, state: TrainState, logits: np.ndarray, labels: np.ndarray
) -> None:
    """Writes `weights.safetensors` and `report.png` of a finished run.

    Args:
        run: where to.
        experiment: that was run.
        state: the last one.
        logits: of its test set, shape (N, classes).
        labels: of its test set, shape (N,).
    """
    trainer, dataset = experiment.trainer, experiment.dataset
    model = nnx.merge(trainer.eval_graph, trainer.random_state, *state.evaluated)
    save_weights(model, run.weights, experiment.weights_description)
    write_report(
        run.report,
        metrics.read(run.root),
        labels,
        np.asarray(jax.nn.softmax(logits)),
        lambda indices: np.stack([dataset.test[int(index)]["image"] for index in indices]),
        dataset.class_names,
        title=str(experiment.config.name),
    )
