"""Has functions of JAX pickled by their names, as Python's own are: models hold some, such as `jax.nn.relu`."""

from __future__ import annotations

import copyreg
import sys
from typing import Any

import jax


def _reduce(function: Any) -> Any:
    name = function.__qualname__
    # JAX pickles what a decorator has wrapped, and finds that its name means the wrapper.
    if getattr(sys.modules.get(function.__module__), name, None) is function:
        return name
    return function.__reduce_ex__(2)


for _kind in {type(jax.nn.relu), type(jax.nn.silu)}:  # with a derivative of its own, and compiled
    copyreg.pickle(_kind, _reduce)
