"""What a compiled program exchanges between devices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import jax

OPERATIONS = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute", "collective-broadcast")

# An exchange that is begun and waited for apart has its result where it is waited for.
_EXCHANGE = re.compile(rf"= (.*?) ({'|'.join(OPERATIONS)})(?:-done)?\(")
_ARRAY = re.compile(r"([a-z]+)(\d*)\w*\[([\d,]*)\]")


@dataclass(frozen=True)
class Exchange:
    """An array that devices exchange each time a place in the program is reached.

    Attributes:
        operation: XLA's name for how, one of `OPERATIONS`.
        elements: of the result on each device.
        bytes: of the same.
    """

    operation: str
    elements: int
    bytes: int


def exchanges(compiled: jax.stages.Compiled) -> list[Exchange]:
    """Every array that a program exchanges between its devices; what is in a loop counts once.

    A training step that scales exchanges gradients and sums over channels, and no activations.

    Args:
        compiled: `jax.jit(f).lower(...).compile()`.
    """
    found = []
    for results, operation in _EXCHANGE.findall(compiled.as_text() or ""):
        for _, bits, shape in _ARRAY.findall(results):
            elements = math.prod(int(size) for size in shape.split(",") if size)
            found.append(Exchange(operation, elements, elements * int(bits or 8) // 8))  # a `pred` is a byte
    return found
