"""What lowerings a run has: the user's when it starts, those of its directory when it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zoo.ops.lowering import measured
from zoo.ops.lowering.measured import RULES_ALONE, Measurement, Measurements, StepTimes, device_of, write_user_table
from zoo.ops.lowering.select import LOWERINGS
from zoo.training import tuning
from zoo.training.config import TrainConfig
from zoo.training.experiment import Experiment
from zoo.training.run_directory import RunDirectory, RunDirectoryError
from zoo.training.tuning import find_lowerings, training_step
from zoo.tuning.tune import measure_convolutions

HERE = str(device_of("cpu"))


@pytest.fixture(autouse=True)
def user_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    measured._table_of_process.cache_clear()
    yield
    measured._table_of_process.cache_clear()


@pytest.fixture
def experiment(make_trainer, dataset):
    trainer, state = make_trainer()
    return Experiment(trainer.config, dataset, "", None, 20, trainer, state)


def choosing_native(experiment: Experiment, device: str = HERE) -> Measurements:
    """A table in which XLA's own lowering wins for everything in a step."""
    problems = training_step(experiment.trainer, experiment.state, 8).convolutions
    return Measurements(device, of={p: Measurement({"native": 1.0, "dense": 2.0}, "native") for p in problems})


def test_the_training_step_is_tuned_with_its_gradients(experiment, make_trainer):
    step = training_step(experiment.trainer, experiment.state, 8)
    assert {(p.direction, p.batch, n) for p, n in step.convolutions.items()} == {
        ("forward", 8, 1),
        ("kernel_gradient", 8, 1),
    }
    trainer, state = make_trainer(devices=2, gradient_accumulation=2)
    assert {(p.batch, n) for p, n in training_step(trainer, state, 8).convolutions.items()} == {(2, 2)}


def test_a_run_starts_with_the_users_table_and_says_so(experiment):
    write_user_table(choosing_native(experiment), LOWERINGS)
    experiment = replace(experiment, lowerings=find_lowerings(experiment, tune=False))
    assert experiment.describe()[-1] == f"2 of 2 lowerings of a step come from measurements on {HERE}"


def test_nothing_is_said_where_nothing_was_measured(experiment):
    assert not any("lowerings" in line for line in experiment.describe())


def test_tuning_measures_once_and_keeps_it_for_the_user(experiment, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "measure_step", lambda step, table: StepTimes(2.0, None, False))
    table = find_lowerings(experiment, tune=True)
    assert len(table.of) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"measures the lowerings of 2 convolutions and gradients on {HERE}")
    assert said[1] == "the whole training step: 2000 ms by the rules; no other lowering wins, and they stay"

    monkeypatch.setattr(tuning, "measure_step", None)
    monkeypatch.setattr(tuning, "measure_convolutions", lambda problems, *rest: measure_convolutions([], *rest))
    assert find_lowerings(experiment, tune=True).of == table.of
    assert capsys.readouterr().out.splitlines() == said[1:]


def described(root, experiment, lowerings):
    with RunDirectory.create(TrainConfig(output=root)) as run:
        run.describe(experiment.config, experiment.trainer.devices, lowerings)
    return run


def test_a_run_goes_on_with_the_lowerings_that_it_had(experiment, tmp_path):
    run = described(tmp_path / "run", experiment, choosing_native(experiment))
    assert run.lowerings_before().of == choosing_native(experiment).of
    assert described(tmp_path / "other", experiment, RULES_ALONE).lowerings_before().of == {}


def test_lowerings_of_another_device_are_not_used_and_that_is_said(experiment):
    experiment = replace(experiment, lowerings=choosing_native(experiment, "TPU v9"))
    line = experiment.describe()[-1]
    assert line.startswith("the lowerings that were measured on TPU v9 with JAX ")
    assert f" are not used on {HERE} with JAX " in line


def test_damaged_lowerings_of_a_run_are_refused_and_missing_ones_said(experiment, tmp_path):
    run = described(tmp_path / "run", experiment, choosing_native(experiment))
    run.lowerings.write_text(run.lowerings.read_text().replace("native", "dense"))
    with pytest.raises(RunDirectoryError, match=r"lowerings\.json, which says .* is damaged: it does not have its che"):
        run.lowerings_before()
    run.lowerings.unlink()
    with pytest.warns(UserWarning, match=r"there is no .*lowerings\.json: the rules choose"):
        assert not run.lowerings_before().of
