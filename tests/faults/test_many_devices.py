"""Runs on several devices, and in two processes that find each other over loopback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.processes import THREE_EPOCHS, THREE_EPOCHS_OF_MASKS, Ended, figures, start_training, train_in_two
from zoo.ops.lowering.measured import device_of

CPU = device_of("cpu")


def train(output: Path, *arguments: str, devices: int = 1, place: str = "nowhere", step: int = 0) -> Ended:
    return Ended.of(start_training([*arguments], output, devices=devices, place=place, step=step), output)


def assert_alike(run: Path, other: Path) -> None:
    for a, b in zip(figures(run), figures(other), strict=True):
        assert a == pytest.approx(b, abs=1e-4)


@pytest.fixture(scope="module")
def on_one(tmp_path_factory) -> Path:
    """A run on one device."""
    root = tmp_path_factory.mktemp("one")
    ended = train(root / "printed", *THREE_EPOCHS, "--output", str(root / "run"))
    assert ended.returncode == 0, ended.stderr
    return root / "run"


def test_eight_devices_give_the_figures_of_one_and_fewer_go_on_from_their_checkpoint(on_one, tmp_path):
    run, printed = tmp_path / "run", tmp_path / "printed"
    arguments = [*THREE_EPOCHS, "--optimizer.split-state", "--output", str(run)]
    stopped = train(printed, *arguments, devices=8, place="signal", step=17)
    assert f"on 8 devices ({CPU}), 1 of the 8 examples of a step on each" in stopped.stdout
    assert stopped.returncode == 143, stopped.stderr
    stopped = train(printed, "--resume", str(run), devices=2, place="signal", step=20)
    assert f"was on 8 devices ({CPU}) before" in stopped.stdout
    ended = train(printed, "--resume", str(run))
    assert f"was on 2 devices ({CPU}) before" in ended.stdout
    assert ended.returncode == 0, ended.stderr
    assert_alike(run, on_one)


def test_two_processes_give_the_figures_of_one_and_the_first_alone_writes(on_one, tmp_path):
    run = tmp_path / "run"
    first, second = train_in_two([*THREE_EPOCHS, "--optimizer.split-state", "--output", str(run)], tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert f"on 2 devices ({CPU}) of 2 processes, 4 of the 8 examples of a step on each" in first.stdout
    assert (second.stdout, second.stderr) == ("", "")
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert_alike(run, on_one)


def test_two_devices_count_the_same_pixels_as_one(tmp_path):
    runs = []
    for devices in (1, 2):
        run = tmp_path / f"on {devices}"
        ended = train(tmp_path / "printed", *THREE_EPOCHS_OF_MASKS, "--output", str(run), devices=devices)
        assert ended.returncode == 0, ended.stderr
        runs.append(run)
    assert_alike(*runs)


def test_processes_that_do_not_fit_together_are_refused(tmp_path):
    run = tmp_path / "run"
    first, second = train_in_two([*THREE_EPOCHS, "--output", str(run)], tmp_path, of_second=("--seed", "3"))
    assert (first.returncode, second.returncode) == (2, 2)
    assert re.fullmatch(r"train.py: error: process 1 has failed: on \S+, seed is 3, and 0 in process 0\n", first.stderr)
    assert not run.exists()
