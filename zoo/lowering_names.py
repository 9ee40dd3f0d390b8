"""The names of all lowerings, for what must not import JAX; `zoo.ops.lowering.select` has the lowerings themselves."""

from __future__ import annotations

from typing import Literal

LoweringName = Literal[
    "native",
    "depthwise",
    "depthwise_pallas",
    "grouped",
    "grouped_32",
    "grouped_64",
    "grouped_128",
    "pointwise",
    "winograd",
    "im2col",
    "dense",
]
