from __future__ import annotations

import json
from dataclasses import replace

import jax
import pytest

from zoo.training.config import ModelConfig, TrainConfig, from_dict
from zoo.training.run_directory import RunDirectory, RunDirectoryError, check_resumable


def test_a_run_is_described_in_its_directory(tmp_path):
    config = TrainConfig(output=tmp_path / "run", seed=7)
    run = RunDirectory.create(config)
    run.describe(config)
    assert from_dict(TrainConfig, json.loads(run.config.read_text())) == config
    environment = json.loads(run.environment.read_text())
    assert environment["jax"] == jax.__version__
    assert environment["platform"] == "cpu"
    assert {"python", "flax", "optax", "device", "git"} <= environment.keys()


def test_without_an_output_the_name_and_the_time_name_the_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory.create(TrainConfig(name="mine"))
    assert run.root.parent.name == "runs"
    assert run.root.name.startswith("mine-20")


def test_a_directory_with_a_run_in_it_is_left_alone(tmp_path):
    run = RunDirectory.create(TrainConfig(output=tmp_path))
    run.describe(TrainConfig())
    before = run.config.read_bytes()
    with pytest.raises(RunDirectoryError, match=f"holds a run already; continue it with --resume {tmp_path}"):
        RunDirectory.create(TrainConfig(output=tmp_path, seed=1))
    assert run.config.read_bytes() == before


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot make the run directory"):
        RunDirectory.create(TrainConfig(output=tmp_path / "file" / "run"))


def test_a_config_that_does_not_fit_names_the_fields(tmp_path):
    saved = TrainConfig(output=tmp_path)
    changed = replace(saved, batch_size=64, model=ModelConfig(width=0.5), epochs=30)
    with pytest.raises(RunDirectoryError, match="does not fit") as error:
        check_resumable(tmp_path, saved, changed)
    assert "model.width (was None, now 0.5), batch_size (was 32, now 64)" in str(error.value)
    assert "epochs" not in str(error.value)
    check_resumable(tmp_path, saved, replace(saved, epochs=30))
