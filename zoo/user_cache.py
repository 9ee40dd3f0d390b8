"""Where this project keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache_directory() -> Path:
    """`zoo` in the user's cache directory: `$XDG_CACHE_HOME`, or `~/.cache`. It need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"
