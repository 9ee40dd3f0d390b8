"""Ctrl-C and SIGTERM from the first line to the last: what is saved, and how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.processes import TinyRun

_CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    return TinyRun(tmp_path / "run", tmp_path / "output")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("library", ["multiarray_umath", "jaxlib"])
def test_during_imports(library, number, tmp_path):
    command = [sys.executable, str(_CHECKOUT / "train.py"), "--output", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and library not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.001)
        process.send_signal(number)
        stdout, stderr = process.communicate()
    assert process.returncode == 128 + number
    (line,) = stderr.splitlines()
    assert f"stopped by {number.name} before the run began; nothing was saved" in line
    assert stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_during_set_up(run):
    assert run.finish(place="set-up") == 128 + signal.SIGINT
    (line,) = run.stderr.splitlines()
    assert "stopped by SIGINT before the run began; nothing was saved. Start again with the same command." in line
    assert not run.root.exists()


def test_during_a_dispatch_and_again(run, uninterrupted):
    assert run.finish(place="interrupt-twice", step=21) == 128 + signal.SIGINT
    first, second = run.stderr.splitlines()
    assert first == "SIGINT: stopping after this dispatch, with a checkpoint"
    assert second == "SIGINT: already stopping after this dispatch, with a checkpoint"
    assert "Stopped by SIGINT at step" in run.stdout
    assert f"--resume {run.root}" in run.stdout.splitlines()[-1]
    assert run.finish() == 0, run.stderr
    assert "goes on from the checkpoint of step" in run.stdout
    assert run.results == uninterrupted.results


def test_while_the_results_are_written(run, uninterrupted):
    assert run.finish(place="results") == 0
    assert run.results == uninterrupted.results
    assert run.finish() == 0


@pytest.mark.parametrize("seed", range(3))
def test_at_any_moment(seed, run, uninterrupted):
    process = run.start()
    while process.is_alive() and "run directory:" not in run.stdout:
        time.sleep(0.01)
    process.join(0.3 * seed)
    for _ in range(3):
        if process.is_alive():
            process.terminate()
        process.join(0.05)
    process.join(60)
    assert process.exitcode in (0, 128 + signal.SIGTERM)
    assert "Traceback" not in run.stderr
    if process.exitcode:
        assert "which is saved" in run.stdout
    assert run.finish() == 0, run.stderr
    assert run.results == uninterrupted.results
