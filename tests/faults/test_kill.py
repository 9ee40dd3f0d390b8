"""Runs that are killed at random moments, again and again: none is lost, and all end with the same bits."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.faults.processes import TinyRun

_KILLS = 10  # in each of four tests


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(seed, uninterrupted, tmp_path):
    delay = random.Random(seed)
    run = TinyRun(tmp_path / "run 0", tmp_path / "output")
    for number in range(_KILLS):
        exit_code = 0
        while exit_code == 0:
            process = run.start()
            while process.is_alive() and "run directory:" not in run.stdout:
                time.sleep(0.01)
            process.join(delay.uniform(0, 1.5))
            process.kill()
            process.join()
            exit_code = process.exitcode
            if exit_code == 0:  # it was finished before it was killed
                assert run.results == uninterrupted.results
                run = TinyRun(tmp_path / f"run {number + 1}", tmp_path / "output")
        assert exit_code == -signal.SIGKILL, run.stderr
    assert run.finish() == 0, run.stderr
    assert run.results == uninterrupted.results
