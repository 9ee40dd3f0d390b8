"""Whether arrays are placed on devices by hand."""

from __future__ import annotations

import jax
from jax.sharding import AxisType


def is_placed_by_hand(array: jax.Array) -> bool:
    """True under explicit sharding or inside `shard_map`: only JAX's own primitives know such arrays' types."""
    return any(kind != AxisType.Auto for kind in jax.typeof(array).sharding.mesh.axis_types)
