from __future__ import annotations

import json
import time
from dataclasses import replace

import jax
import pytest

from zoo.ops.lowering.measured import usable_cores
from zoo.preprocessing import Preprocessing
from zoo.training.config import ModelConfig, TrainConfig, from_dict
from zoo.training.devices import Devices
from zoo.training.metrics import EpochMetrics, MetricsLog
from zoo.training.run_directory import RunDirectory, RunDirectoryError, check_resumable
from zoo.training.start_weights import StartWeights
from zoo.weights.numerics import Numerics


def describe(config):
    """Makes the directory of a run, with its config."""
    with RunDirectory.create(config) as run:
        run.describe(config, Devices.find(1))
    return run


def test_a_run_is_described_in_its_directory(tmp_path):
    config = TrainConfig(output=tmp_path / "run", seed=7)
    run = describe(config)
    assert from_dict(TrainConfig, json.loads(run.config.read_text())) == config
    environment = json.loads(run.environment.read_text())
    assert environment["jax"] == jax.__version__
    assert environment["platform"] == "cpu"
    assert environment["cpu_count"] == usable_cores()
    assert {"python", "flax", "optax", "device", "git"} <= environment.keys()


def test_without_an_output_the_name_and_the_time_name_the_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = describe(TrainConfig(name="mine"))
    assert run.root.parent.name == "runs"
    assert run.root.name.startswith("mine-20")


def test_runs_that_start_in_the_same_second_have_a_directory_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: "now")
    roots = [describe(TrainConfig(name="mine")).root.name for _ in range(3)]
    assert roots == ["mine-now", "mine-now-2", "mine-now-3"]


def test_a_directory_with_a_run_in_it_is_left_alone(tmp_path):
    run = describe(TrainConfig(output=tmp_path))
    before = run.config.read_bytes()
    with (
        pytest.raises(RunDirectoryError, match=f"holds a run already; continue it with --resume {tmp_path}"),
        RunDirectory.create(TrainConfig(output=tmp_path, seed=1)),
    ):
        pass
    assert run.config.read_bytes() == before


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunDirectoryError, match="cannot make the run directory"),
        RunDirectory.create(TrainConfig(output=tmp_path / "file" / "run")),
    ):
        pass


def test_a_run_that_does_not_come_to_be_leaves_no_directory(tmp_path):
    with pytest.raises(ZeroDivisionError), RunDirectory.create(TrainConfig(output=tmp_path / "run")):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").write_text("was here before")
    with pytest.raises(ZeroDivisionError), RunDirectory.create(TrainConfig(output=tmp_path)):
        raise ZeroDivisionError
    assert (tmp_path / "mine").exists()


def test_a_described_run_stays_whatever_happens(tmp_path):
    def fail(config):
        with RunDirectory.create(config) as run:
            run.describe(config, Devices.find(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(TrainConfig(output=tmp_path / "run"))
    assert (tmp_path / "run" / "config.json").exists()


@pytest.fixture
def make_run(tmp_path):
    """A function that makes the directory of a run with the figures of some epochs and the given checkpoints."""

    def make(epochs, *checkpoints):
        with MetricsLog(tmp_path) as log:
            for epoch in range(1, epochs + 1):
                log.write(EpochMetrics(10 * epoch, epoch, 0.1, 2.0, 0.25, 1.5, 0.5, 1000.0, 3.0))
        for name in checkpoints:
            (tmp_path / "checkpoints" / name).mkdir(parents=True)
        return tmp_path

    return make


def test_a_run_whose_checkpoints_are_gone_is_refused(make_run):
    root = make_run(1)
    with pytest.raises(RunDirectoryError) as error, RunDirectory.reopen(root, checkpoint_every=1):
        pass
    assert "figures of 1 epochs, but its checkpoints are gone from" in str(error.value)
    assert str(root / "checkpoints") in str(error.value)


@pytest.mark.parametrize(
    ("epochs", "every", "names"),
    [
        (0, 1, []),
        (1, 1, [".orbax-checkpoint-tmp"]),
        (2, 1, ["10.orbax-checkpoint-tmp"]),  # the first checkpoint may be unfinished until the second begins
        (6, 3, ["30.orbax-checkpoint-tmp"]),
        (9, 3, ["20"]),
        (9, 3, ["20", "damaged-40"]),
    ],
)
def test_a_run_that_was_killed_goes_on(epochs, every, names, make_run):
    root = make_run(epochs, *names)
    with RunDirectory.reopen(root, checkpoint_every=every) as run:
        assert run.root == root


@pytest.mark.parametrize(("epochs", "every", "names"), [(3, 1, ["x"]), (7, 3, ["x"]), (2, 3, ["damaged-20"])])
def test_a_run_that_must_have_had_checkpoints_is_refused(epochs, every, names, make_run):
    root = make_run(epochs, *names)
    with pytest.raises(RunDirectoryError, match="are gone"), RunDirectory.reopen(root, checkpoint_every=every):
        pass


def test_a_config_that_does_not_fit_names_the_fields(tmp_path):
    saved = TrainConfig(output=tmp_path)
    changed = replace(saved, batch_size=64, model=ModelConfig(width=0.5), epochs=30)
    with pytest.raises(RunDirectoryError, match="does not fit") as error:
        check_resumable(tmp_path, saved, changed)
    assert "model.width (was None, now 0.5), batch_size (was 32, now 64)" in str(error.value)
    assert "epochs" not in str(error.value)
    check_resumable(tmp_path, saved, replace(saved, epochs=30))


def test_other_data_is_refused_by_what_changed(tmp_path):
    config = TrainConfig(output=tmp_path / "run")
    data = {"the number of training examples": 300, "the classes": ["a", "b"], "the training examples": "0f3a"}
    with RunDirectory.create(config) as run:
        run.describe(config, Devices.find(1), data=data)
    run.check_data(data)
    with pytest.raises(RunDirectoryError, match="the number of training examples changed, was 300 and is 299"):
        run.check_data(data | {"the number of training examples": 299})
    with pytest.raises(RunDirectoryError, match="the training examples changed; it cannot go on"):
        run.check_data(data | {"the training examples": "77aa"})
    run.data.write_text('{"the number')
    with pytest.raises(RunDirectoryError, match=r"data\.json, which says what the run has seen, is damaged"):
        run.check_data(data)
    run.data.unlink()
    with pytest.warns(UserWarning, match="whether the data is still the same is not checked"):
        run.check_data(data)


def test_start_weights_are_kept_and_needed_only_with_checkpoints(tmp_path):
    config = TrainConfig(output=tmp_path / "run")
    kept = StartWeights("nin", {"num_classes": 7}, Preprocessing(224, 256, "bicubic"), Numerics(1e-3, True))
    with RunDirectory.create(config) as run:
        run.describe(config, Devices.find(1), start_weights=kept)
    assert run.read_start_weights() == kept
    assert run.start_weights_before() is None
    (run.checkpoints / "12").mkdir(parents=True)
    assert run.start_weights_before() == kept
    run.start_weights.write_text('{"model": "nin"}')
    with pytest.raises(RunDirectoryError, match=r"start_weights\.json is damaged"):
        run.start_weights_before()
