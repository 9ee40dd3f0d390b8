"""How the commands say what is wrong: in one line on the standard error."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO


def fail(program: str, message: str, status: int) -> int:
    """Prints an error; gives the exit status."""
    print(f"{program}: error: {message}", file=sys.stderr)
    return status


def warn_in_one_line(program: str) -> None:
    """From now on a warning is its message, without the line of source that Python adds."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print(f"{program}: warning: {' '.join(str(message).split())}", file=file or sys.stderr)

    warnings.showwarning = show
