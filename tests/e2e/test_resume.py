"""Runs that are killed, stopped or poisoned, as real processes: what is left, and how they go on."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.e2e.processes import THREE_EPOCHS, THREE_EPOCHS_OF_MASKS, Ended, figures, start_training
from tests.e2e.tiny_train import Tiny
from zoo.ops.lowering.geometry import ConvGeometry, Problem
from zoo.ops.lowering.measured import Measurement, Measurements, device_of
from zoo.ops.lowering.select import LOWERINGS
from zoo.weights.safetensors import read_tensors

LAST_STEP = 36


def train(place: str, step: int, *arguments: str) -> Ended:
    with tempfile.TemporaryDirectory() as output:
        process = start_training([*arguments], Path(output), place=place, step=step)
        return Ended.of(process, Path(output))


def start(place: str, step: int, run: Path) -> Ended:
    return train(place, step, *THREE_EPOCHS, "--output", str(run))


def resume(run: Path) -> Ended:
    return train("nowhere", 0, "--resume", str(run))


def checkpoints(run: Path) -> list[int]:
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = start("nowhere", 0, run)
    assert ended.returncode == 0, ended.stderr
    return run


@pytest.mark.parametrize(
    ("place", "step", "left"),
    [
        ("training", 5, []),
        ("training", 17, [12]),
        ("before-checkpoint", 24, [12]),
        ("in-checkpoint", 24, [12]),
    ],
)
def test_a_killed_run_ends_with_the_same_bits(place, step, left, uninterrupted, tmp_path):
    run = tmp_path / "run"
    assert start(place, step, run).returncode == -signal.SIGKILL
    assert checkpoints(run) == left
    ended = resume(run)
    assert ended.returncode == 0, ended.stderr
    assert (run / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()
    assert figures(run) == figures(uninterrupted)
    assert figures(run)[-1]["step"] == LAST_STEP


@pytest.mark.slow
def test_a_killed_run_on_masks_ends_with_the_same_bits(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    ended = train("nowhere", 0, *THREE_EPOCHS_OF_MASKS, "--output", str(whole))
    assert ended.returncode == 0, ended.stderr
    assert train("training", 8, *THREE_EPOCHS_OF_MASKS, "--output", str(run)).returncode == -signal.SIGKILL
    assert checkpoints(run) == [6]
    ended = resume(run)
    assert ended.returncode == 0, ended.stderr
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert figures(run) == figures(whole)
    assert figures(run)[-1]["step"] == 18
    assert 0 < figures(run)[-1]["test_mean_iou"] < 1


def test_a_killed_fine_tune_goes_on_when_its_start_weights_have_moved(uninterrupted, tmp_path):
    model = Tiny(10, small_images=True, dtype=None, rngs=nnx.Rngs(5))
    model.stem.norm.epsilon = 0.1  # which no tensor tells, nor the config
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    said = {"model": "tiny", "image_size": 32, "mean": mean, "std": std}
    zoo.save_weights(model, tmp_path / "start.safetensors", said)
    arguments = ["--model.weights", str(tmp_path / "start.safetensors"), "--optimizer.freeze", "body"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train("nowhere", 0, *THREE_EPOCHS, *arguments, "--output", str(whole)).returncode == 0
    assert train("training", 17, *THREE_EPOCHS, *arguments, "--output", str(run)).returncode == -signal.SIGKILL

    (tmp_path / "start.safetensors").unlink()
    ended = resume(run)
    assert ended.returncode == 0, ended.stderr
    assert "464 parameters are frozen: body" in ended.stdout
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    tensors, description = read_tensors(run / "weights.safetensors")
    assert (description["mean"], description["numerics"]["epsilon"]) == (list(mean), 0.1)
    np.testing.assert_array_equal(tensors["stem.conv.kernel"], model.stem.conv.kernel[...])
    np.testing.assert_array_equal(tensors["stem.norm.mean"], 0)
    assert (tensors["head.kernel"] != model.head.kernel[...]).all()

    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    (run / "metrics.jsonl").unlink()
    ended = resume(run)
    assert ended.returncode == 2
    assert ended.stderr == f"train.py: error: there are no weights at {tmp_path / 'start.safetensors'}\n"


def test_sigterm_saves_in_mid_epoch_and_says_how_to_go_on(uninterrupted, tmp_path):
    run = tmp_path / "run"
    stopped = start("signal", 15, run)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert f"train.py --resume {run}" in stopped.stdout
    assert checkpoints(run)[-1] == 15
    assert not (run / "weights.safetensors").exists()
    assert resume(run).returncode == 0
    assert (run / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()
    assert figures(run) == figures(uninterrupted)


def test_a_run_goes_on_with_the_lowerings_that_were_measured_for_it(uninterrupted, tmp_path):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "36")
    stem = ConvGeometry((32, 32), 3, (3, 3, 3, 16), (4, 4), ((1, 1), (1, 1)), (1, 1), 1)
    here, native = str(device_of("cpu")), Measurement({"native": 1.0, "dense": 2.0}, "native")
    problem = Problem(stem, "kernel_gradient", 8, jnp.dtype("float32"))
    (run / "lowerings.json").write_text(Measurements(here, of={problem: native}).to_json())
    ended = resume(run)
    assert ended.returncode == 0, ended.stderr
    assert f"1 of 2 lowerings of a step come from measurements on {here}" in ended.stdout.splitlines()
    assert Measurements.from_json((run / "lowerings.json").read_text(), LOWERINGS).of == {problem: native}
    # Its kernel gradients have been added up in another order.
    assert (run / "weights.safetensors").read_bytes() != (uninterrupted / "weights.safetensors").read_bytes()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    run = tmp_path / "run"
    stopped = start("poison", 15, run)
    assert stopped.returncode == 1
    assert "the loss is not finite at step 15" in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
    assert checkpoints(run) == [12]
    assert [line["step"] for line in figures(run)] == [12]


def test_nan_that_comes_with_the_last_update_of_an_epoch_is_not_saved(tmp_path):
    run = tmp_path / "run"
    stopped = start("poison", 24, run)
    assert stopped.returncode == 1
    assert "params.head.bias is not finite after step 23" in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1
    assert checkpoints(run) == [12]
    assert [line["step"] for line in figures(run)] == [12]


def test_a_damaged_checkpoint_is_set_aside_and_the_run_ends_with_the_same_bits(uninterrupted, tmp_path):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    assert checkpoints(run) == [24, 36]
    (run / "weights.safetensors").unlink()
    shutil.rmtree(run / "checkpoints" / "36" / "default")
    ended = resume(run)
    assert ended.returncode == 0
    damaged, dropped = ended.stderr.splitlines()
    assert "the checkpoint of step 36 is damaged (default/" in damaged
    assert "that of step 24 is used" in damaged
    assert "from step 24: the figures of epoch 3 are dropped" in dropped
    assert (run / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()
    assert figures(run) == figures(uninterrupted)


def test_a_run_without_a_whole_checkpoint_is_refused_in_one_line(uninterrupted, tmp_path):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    for step in (24, 36):
        (run / "checkpoints" / str(step) / "default" / "manifest.ocdbt").unlink()
    for _ in range(2):  # nothing is set aside where nothing is whole
        refused = resume(run)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        for step in (24, 36):
            assert f"step {step} (default/manifest.ocdbt is missing)" in line


def test_a_finished_run_has_all_its_files_and_resumes_to_the_same(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"config.json", "environment.json", "metrics.jsonl", "report.png", "weights.safetensors"} <= names
    assert any((uninterrupted / "tensorboard").iterdir())
    before = (uninterrupted / "weights.safetensors").read_bytes()
    assert resume(uninterrupted).returncode == 0
    assert (uninterrupted / "weights.safetensors").read_bytes() == before


def test_a_config_that_does_not_fit_is_refused_in_one_line(uninterrupted):
    refused = train("nowhere", 0, "--resume", str(uninterrupted), "--batch-size", "16")
    assert refused.returncode == 2
    assert "batch_size (was 8, now 16)" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_occupied_output_is_refused_in_one_line(uninterrupted):
    refused = start("nowhere", 0, uninterrupted)
    assert refused.returncode == 2
    assert "holds a run already" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_mistake_leaves_nothing_and_the_corrected_command_runs(tmp_path):
    run = tmp_path / "run"
    refused = train("nowhere", 0, *THREE_EPOCHS, "--output", str(run), "--batch-size", "97")
    assert refused.returncode == 2
    assert refused.stderr == "train.py: error: batch_size=97 is more than the 96 training examples\n"
    assert list(tmp_path.iterdir()) == []
    # More classes than the data has, too: the confusion matrix and the names must cope with them.
    ended = train("nowhere", 0, *THREE_EPOCHS, "--output", str(run), "--epochs", "1", "--model.num-classes", "12")
    assert ended.returncode == 0, ended.stderr
    config = json.loads((run / "config.json").read_text())
    assert config["name"] == "tiny_shapes"
    assert config["model"]["num_classes"] == 12
    assert config["model"]["small_images"] is True
    assert "tiny, its form for small images" in ended.stdout.splitlines()[0]
    assert f"run directory: {run}" in ended.stdout.splitlines()


def test_another_number_of_epochs_is_refused_or_said(uninterrupted, tmp_path):
    before = (uninterrupted / "config.json").read_bytes()
    refused = train("nowhere", 0, "--resume", str(uninterrupted), "--epochs", "2")
    assert refused.returncode == 2
    assert refused.stderr == f"train.py: error: {uninterrupted} has trained 3 epochs, more than epochs=2\n"
    assert (uninterrupted / "config.json").read_bytes() == before
    longer = tmp_path / "longer"
    shutil.copytree(uninterrupted, longer)
    environment = json.loads((longer / "environment.json").read_text())
    elsewhere = {**environment, "devices": "1 device (abacus)", "jax": "0.1"}
    (longer / "environment.json").write_text(json.dumps(elsewhere))
    ended = train("nowhere", 0, "--resume", str(longer), "--epochs", "4")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert (
        "was on 1 device (abacus), with jax 0.1 before: from here on its figures are the same up to rounding, not to "
        "the bit"
    ) in lines
    said = [line for line in lines if line.startswith("epochs is 4 and was 3")]
    assert said[0].endswith("the learning rate goes from 0 to 0.0113 at step 36")
    assert figures(longer)[-1]["step"] == 48
