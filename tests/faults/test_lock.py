"""Two processes that want the same run."""

from __future__ import annotations

import time

import pytest

from tests.e2e.processes import TinyRun


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped by a signal, for two terminals."""
    first, second = (TinyRun(tmp_path / "run", tmp_path / name) for name in ("first", "second"))
    assert first.finish(place="signal", step=10) == 128 + 15
    return first, second


def test_the_second_is_told_who_the_first_is_and_changes_nothing(stopped, uninterrupted):
    first, second = stopped
    owner = first.start(place="hang", step=20)
    while owner.is_alive() and not (first.root / "checkpoints" / "18").exists():
        time.sleep(0.01)
    before = {name: (first.root / name).read_bytes() for name in ("config.json", "metrics.jsonl", "lock")}
    assert second.finish() == 2
    assert second.stderr.startswith(f"train.py: error: {first.root} is in use by process {owner.pid}")
    assert len(second.stderr.splitlines()) == 1
    assert {name: (first.root / name).read_bytes() for name in before} == before
    owner.kill()
    owner.join()
    assert second.finish() == 0, second.stderr
    assert second.results == uninterrupted.results


def test_of_two_that_resume_at_once_one_goes_on(stopped, uninterrupted):
    processes = [run.start() for run in stopped]
    for process in processes:
        process.join(120)
    codes = {process.exitcode for process in processes}
    assert codes in ({0, 2}, {0})  # the slower one may have come when the other was ready
    assert stopped[0].results == uninterrupted.results


def test_of_two_that_begin_in_one_directory_one_does(uninterrupted, tmp_path):
    runs = [TinyRun(tmp_path / "run", tmp_path / name) for name in ("first", "second")]
    processes = [run.start() for run in runs]
    for process in processes:
        process.join(120)
    assert sorted(process.exitcode for process in processes) == [0, 2]
    assert runs[0].results == uninterrupted.results
