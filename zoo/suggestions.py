"""The end of an error about a name that is not known: which known ones are near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Which of the known names may have been meant, all of them if none is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ("nearest: " if near else "there are: ") + ", ".join(prefix + one for one in near or known)
