"""Whether a file that was fetched once is still what its name says."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path


def is_whole(path: Path, digits: str) -> bool:
    """Whether the SHA-256 of a file begins with these digits; if not, the file is set aside, with a warning."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest.startswith(digits):
        return True
    aside = path.with_name(path.name + ".damaged")
    os.replace(path, aside)
    warnings.warn(
        f"{path} is damaged, its SHA-256 does not begin with {digits}: set aside as {aside.name}, and fetched again",
        stacklevel=2,
    )
    return False
