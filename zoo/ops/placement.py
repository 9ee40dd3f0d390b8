"""Where arrays are placed: by hand, or their first axis over the devices of a mesh."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax.sharding import AxisType, PartitionSpec

BATCH_AXIS = "data"
"""The mesh axis over which the examples of a batch are split."""


def is_placed_by_hand(array: jax.Array) -> bool:
    """True under explicit sharding or inside `shard_map`: only JAX's own primitives know such arrays' types."""
    return any(kind != AxisType.Auto for kind in jax.typeof(array).sharding.mesh.axis_types)


def sum_over_devices(function: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """`function(*arrays)`, a sum over examples, by each device over its share of them, and then over the devices.

    XLA cannot divide a loop over examples between devices: each would gather the whole batch and compute all of it.
    So where the program is compiled under `jax.set_mesh`, for a mesh with an axis `data`, the loop is written for one
    device's share. Where there is no such mesh, or it does not divide the examples, `function` is called as it is.

    Args:
        function: of the arrays; it gives an array without an axis of examples.
        *arrays: with the examples as their first axis.
    """
    devices = jax.sharding.get_abstract_mesh().shape.get(BATCH_AXIS, 1)
    examples = arrays[0].shape[0]
    if devices == 1 or not isinstance(examples, int) or examples % devices:
        return function(*arrays)

    def of_share(*shares: jax.Array) -> jax.Array:
        return jax.lax.psum(function(*shares), BATCH_AXIS)

    split, whole = PartitionSpec(BATCH_AXIS), PartitionSpec()
    summed = jax.shard_map(of_share, in_specs=split, out_specs=whole, axis_names={BATCH_AXIS}, check_vma=False)
    return summed(*arrays)
