"""A run of two processes of which one is stopped or dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.processes import THREE_EPOCHS, figures, train_in_two

ARGUMENTS = [*THREE_EPOCHS, "--optimizer.split-state"]  # so that each process has a part of what is saved


@pytest.fixture(scope="module")
def in_two(tmp_path_factory) -> Path:
    """An uninterrupted run."""
    root = tmp_path_factory.mktemp("two")
    for ended in train_in_two([*ARGUMENTS, "--output", str(root / "run")], root):
        assert ended.returncode == 0, ended.stderr
    return root / "run"


def finish(run: Path, output: Path) -> tuple[bytes, list[dict]]:
    """Resumes a run in two processes; its weights and figures."""
    for ended in train_in_two(["--resume", str(run)], output):
        assert ended.returncode == 0, ended.stderr
    return results(run)


def results(run: Path) -> tuple[bytes, list[dict]]:
    return (run / "weights.safetensors").read_bytes(), figures(run)


def test_a_signal_to_one_process_stops_both_with_one_checkpoint(in_two, tmp_path):
    run = tmp_path / "run"
    first, second = train_in_two([*ARGUMENTS, "--output", str(run)], tmp_path / "1", place="signal", step=17)
    assert (first.returncode, second.returncode) == (143, 143), first.stderr + second.stderr
    (step,) = {int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdecimal()} - {12}
    assert f"Stopped by SIGTERM at step {step}, which is saved" in first.stdout
    assert second.stdout == ""
    assert finish(run, tmp_path / "2") == results(in_two)


def test_the_death_of_one_process_ends_the_other_and_the_run_goes_on(in_two, tmp_path):
    run = tmp_path / "run"
    first, second = train_in_two([*ARGUMENTS, "--output", str(run)], tmp_path / "1", place="training", step=17)
    assert (first.returncode, second.returncode) == (1, -9)
    assert "most likely because one of them has ended; what is in the last checkpoint is saved" in first.stderr
    assert len(first.stderr.splitlines()) == 1
    assert finish(run, tmp_path / "2") == results(in_two)
