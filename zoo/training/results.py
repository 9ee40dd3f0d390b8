"""What a finished run leaves: weights and a report."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from flax import nnx

from zoo.training import metrics
from zoo.training.experiment import Experiment
from zoo.training.report import write_report
from zoo.training.run_directory import RunDirectory
from zoo.training.state import TrainState
from zoo.training.tasks.task import Findings
from zoo.weights.safetensors import save_weights


def write_results(run: RunDirectory, experiment: Experiment, state: TrainState, findings: Findings) -> None:
    """Writes `weights.safetensors` and `report.png` of a finished run.

    Args:
        run: where to.
        experiment: that was run.
        state: the last one.
        findings: of its task, on its test set.
    """
    trainer = experiment.trainer
    model = nnx.merge(trainer.eval_graph, trainer.random_state, *state.evaluated)
    save_weights(model, run.weights, experiment.weights_description)
    predict = partial(jax.jit(trainer.predict), state)
    panels = trainer.task.panels(findings, experiment.dataset, lambda images: np.asarray(predict(images)))
    write_report(run.report, metrics.read(run.root), panels, title=str(experiment.config.name))
