"""Runs that are killed at random moments, again and again: none is lost, and all end with the same bits."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.e2e.processes import TinyRun

_KILLS = 10  # in each of four tests


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(seed, uninterrupted, tmp_path):
    delay = random.Random(seed)
    runs = (TinyRun(tmp_path / f"run {number}", tmp_path / "output") for number in range(1000))
    run = next(runs)
    kills = 0
    while kills < _KILLS:
        process = run.start()
        while process.is_alive() and "run directory:" not in run.stdout:
            time.sleep(0.01)
        process.join(delay.uniform(0, 1.5))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was finished before it was killed
            assert run.results == uninterrupted.results
            run = next(runs)
        else:
            assert process.exitcode == -signal.SIGKILL, run.stderr
            kills += 1
    assert run.finish() == 0, run.stderr
    assert run.results == uninterrupted.results
