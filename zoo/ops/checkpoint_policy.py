"""What `jax.checkpoint` should save of a convolutional net: what takes long to compute and little to keep."""

from __future__ import annotations

from typing import Any

import jax
from jax.extend.core import Primitive

_SAVED = frozenset({"zoo_convolution", "zoo_channel_sums"})


def convolutions_saveable(primitive: Primitive, *types: Any, **params: Any) -> bool:
    """A policy for `jax.checkpoint`: saves the outputs of convolutions and dot products, and sums over channels.

    `jax.checkpoint_policies.dots_saveable` saves those of `jax.lax`, but the convolutions of this project are another
    primitive until the program is lowered: it would have each of them computed twice. The sums, which batch norm
    takes its statistics from, are a few numbers that cost a pass over memory and, on several devices, an exchange.
    """
    return primitive.name in _SAVED or jax.checkpoint_policies.dots_saveable(primitive, *types, **params)
