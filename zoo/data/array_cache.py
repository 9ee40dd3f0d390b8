"""Arrays that took long to make, kept in the user's cache directory: a file for each name, until others are made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from zoo.atomic_file import replacing
from zoo.user_cache import user_cache_directory


def read(name: str, fingerprint: bytes) -> dict[str, np.ndarray] | None:
    """The arrays that `write` kept; None if there are none, if they are of something else, or, with a warning, damaged.

    Args:
        name: of the file.
        fingerprint: of what they are made from, as it was given to `write`.
    """
    file = user_cache_directory() / f"{name}.npz"
    try:
        with np.load(file) as archive:
            if damaged := archive.zip.testzip():  # Compares the CRC-32 of every array.
                raise ValueError(f"{damaged} is damaged")
            if archive["fingerprint"].tobytes() != fingerprint:
                return None
            return {key: archive[key] for key in archive.files if key != "fingerprint"}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # A damaged archive makes zipfile and NumPy raise almost anything.
        warnings.warn(f"the cache {file} cannot be read ({error}); it is made again", stacklevel=3)
        return None


def write(name: str, fingerprint: bytes, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Keeps arrays, or says in a warning why it cannot, and that the next start will make `what` again."""
    file = user_cache_directory() / f"{name}.npz"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished, unfinished.open("wb") as stream:
            np.savez(stream, fingerprint=np.frombuffer(fingerprint, np.uint8), **arrays)  # type: ignore[arg-type]
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(
            f"{what} cannot be cached in {file.parent} ({reason}); the next start will make it again", stacklevel=3
        )
