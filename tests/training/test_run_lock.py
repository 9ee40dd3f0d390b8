from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from zoo.training.run_lock import RunInUseError, run_lock

HOLD = "from pathlib import Path; from zoo.training.run_lock import run_lock\nwith run_lock(Path('.')): input(print())"


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock of `tmp_path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_the_owner_is_named_and_a_killed_one_owns_nothing(owner, tmp_path):
    with pytest.raises(RunInUseError, match=f"{tmp_path} is in use by process {owner.pid}"), run_lock(tmp_path):
        pass
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with run_lock(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} on ")


def test_the_lock_ends_with_the_context(tmp_path):
    for _ in range(2):
        with run_lock(tmp_path), pytest.raises(RunInUseError, match=str(os.getpid())), run_lock(tmp_path):
            pass


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match=f"{tmp_path} cannot be locked .*No locks available"), run_lock(tmp_path):
        pass
