"""Huge pages for the memory of a training step on a CPU."""

from __future__ import annotations

import os
import sys

_VARIABLE, _TUNABLE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"


def restart_with_huge_pages() -> None:
    """Starts this process anew so that large allocations are backed by huge pages, on Linux; else does nothing.

    XLA:CPU gives the temporary memory of a dispatch, often a gigabyte, back to the system and takes it again for
    the next one. In ordinary pages that is hundreds of thousands of page faults a dispatch; in huge pages it is a few
    hundred. glibc only listens to an environment variable that is there when the process starts. The process keeps
    its number, its arguments and its open files. Call it before importing JAX, which is slow.
    """
    tunables = os.environ.get(_VARIABLE, "")
    if sys.platform != "linux" or _TUNABLE in tunables:
        return
    os.environ[_VARIABLE] = ":".join(filter(None, [tunables, f"{_TUNABLE}=1"]))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
