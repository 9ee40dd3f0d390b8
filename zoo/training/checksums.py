"""Checksums of all files of a directory, in a file that `sha256sum --check SHA256SUMS` reads as well."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_FILE = "SHA256SUMS"


def seal(directory: Path) -> None:
    """Writes the checksums of all files that are in a directory; all of them are on the disk when this returns."""
    lines = []
    for name in _names(directory):
        with (directory / name).open("rb") as file:
            os.fsync(file.fileno())
        lines.append(f"{_checksum(directory / name)}  {name}\n")
    with (directory / _FILE).open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def find_damage(directory: Path) -> str | None:
    """The first difference between a directory and its checksums, in a few words, or None if it is whole.

    Every byte of every file counts, and so does every byte of the checksums themselves. Files whose names begin with
    a dot, such as file managers and network file systems leave, are not looked at.
    """
    try:
        lines = (directory / _FILE).read_text(encoding="utf-8").split("\n")
        if lines.pop() != "" or any(line[64:66] != "  " for line in lines):
            return f"{_FILE} is damaged"
        sums = {line[66:]: line[:64] for line in lines}
        names = _names(directory)
        for name in [*sums, *names]:
            if name not in names:
                return f"{name} is missing"
            if name not in sums:
                return f"{name} has no checksum"
            if _checksum(directory / name) != sums[name]:
                return f"{name} does not have its checksum"
    except FileNotFoundError:
        return f"{_FILE} is missing"
    except PermissionError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        return f"it cannot be read: {error}"
    return None


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(directory: Path) -> list[str]:
    """The paths of all files below a directory relative to it, in order, but for the checksums themselves."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = [path.relative_to(directory).as_posix() for path in paths if not path.name.startswith(".")]
    return [name for name in names if name != _FILE]
