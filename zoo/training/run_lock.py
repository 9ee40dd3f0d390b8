"""One process at a time in the directory of a run."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.atomic_file import naming

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"


class RunInUseError(Exception):
    """Another process works in the directory of a run."""


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Keeps other processes out of the directory of a run while it is entered.

    The kernel holds the lock for the open file `lock`, so it ends with the process, however that ends; the file stays,
    and says which process was the last. Where the file system knows no locks, a warning says so and nothing is locked.

    Raises:
        RunInUseError: if another process holds the lock.
        OSError: if the file cannot be made.
    """
    path = directory / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            if fcntl is None:
                raise OSError("this system has no flock")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 1000).decode(errors="replace").strip()
            process = f"process {owner}" if owner else "a process that has just begun"
            raise RunInUseError(f"{directory} is in use by {process}") from None
        except OSError as error:
            warnings.warn(
                f"{directory} cannot be locked ({error}): make sure that no other process uses it", stacklevel=3
            )
        with naming(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)
