"""A disk that is full at some moment of a run: one line that names a file, and nothing is lost or half-written."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.e2e.processes import TinyRun
from zoo.training.checksums import find_damage


@pytest.fixture
def disk(tmp_path):
    """A file system of 4 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk, free):
    """Leaves some bytes free; gives the file that takes the rest."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - free)
    return filler


def check_that_it_stopped(run, reason):
    """Checks that there is one line that names the reason and a file, and that nothing is half-written."""
    (line,) = run.stderr.splitlines()
    assert reason in line
    assert str(run.root) in line
    names = [path.name for path in run.root.rglob("*")]
    assert not [name for name in names if "unfinished" in name or "tmp" in name]
    assert all(find_damage(path) is None for path in run.root.glob("checkpoints/*"))
    if "report.png" in line:
        assert (run.root / "weights.safetensors").exists()


# The first that does not fit: the lock, the config, the events, the first checkpoint, a later one, the report.
@pytest.mark.parametrize("kibibytes", [0, 4, 12, 40, 140, 300, 400])
def test_a_run_stops_on_a_full_disk_and_goes_on_when_there_is_room(kibibytes, uninterrupted, disk, tmp_path):
    run = TinyRun(disk / "run", tmp_path / "output")
    filler = fill(disk, kibibytes * 1024)
    assert run.finish() == 1
    check_that_it_stopped(run, "No space left on device")
    filler.unlink()
    assert run.finish() == 0, run.stderr
    assert run.results == uninterrupted.results


@pytest.mark.parametrize("size", [4_000, 60_000])  # a checkpoint, the report
def test_a_run_stops_at_a_quota_and_goes_on_without(size, uninterrupted, tmp_path):
    run = TinyRun(tmp_path / "run", tmp_path / "output")
    assert run.finish(file_size=size) == 1
    check_that_it_stopped(run, "File too large")
    assert run.finish() == 0, run.stderr
    assert run.results == uninterrupted.results
