"""Files that are whole or not there, whoever else writes them at the same time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the path of a file to write, which takes the place of `path` at the end, or is removed after an exception.

    It lies beside `path` under a name of its own, so that two writers cannot mix their bytes, and its content is on the
    disk before it gets its name.

    Raises:
        OSError: if it cannot be written; it names the file.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.unfinished")
    try:
        with naming(path):
            yield unfinished
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Has an OSError of what is done here name the file if it names none, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
