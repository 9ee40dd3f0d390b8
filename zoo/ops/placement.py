"""Where arrays are placed: by hand, or their first axis over the devices of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
from jax.sharding import AxisType, PartitionSpec

Sums = TypeVar("Sums")

BATCH_AXIS = "data"
"""The mesh axis over which the examples of a batch are split."""


def is_placed_by_hand(array: jax.Array) -> bool:
    """True under explicit sharding or inside `shard_map`: only JAX's own primitives know such arrays' types."""
    return any(kind != AxisType.Auto for kind in jax.typeof(array).sharding.mesh.axis_types)


def examples_of_share(array: jax.Array) -> int:
    """How many examples, along the first axis, each device has of an array: all of them where they are not split."""
    examples: int = array.shape[0]
    return examples // jax.sharding.get_abstract_mesh().shape[BATCH_AXIS] if _are_split(array) else examples


def sum_over_devices(function: Callable[..., Sums], *arrays: jax.Array) -> Sums:
    """`function(*arrays)`, a sum over examples, by each device over its share of them, and then over the devices.

    XLA cannot divide a loop over examples between devices: each would gather the whole batch and compute all of it.
    So where the program is compiled under `jax.set_mesh`, for a mesh with an axis `data`, the loop is written for one
    device's share. Where there is no such mesh, or it does not divide the examples, `function` is called as it is.

    Args:
        function: of the arrays; it gives arrays without an axis of examples.
        *arrays: with the examples as their first axis.
    """
    if not _are_split(arrays[0]):
        return function(*arrays)

    def of_share(*shares: jax.Array) -> Sums:
        return jax.lax.psum(function(*shares), BATCH_AXIS)

    summed: Sums = _on_each_device(of_share, in_specs=_SPLIT, out_specs=_WHOLE)(*arrays)
    return summed


def map_over_devices(function: Callable[..., jax.Array], array: jax.Array, *parameters: jax.Array) -> jax.Array:
    """`function(array, *parameters)`, which treats each example by itself, by each device for its share of them.

    As `sum_over_devices`, for what loops over examples or exchanges numbers between them.

    Args:
        function: of these arrays; it gives an array with as many examples, along its first axis.
        array: with the examples as its first axis.
        *parameters: which every device has.
    """
    if not _are_split(array):
        return function(array, *parameters)
    in_specs = (_SPLIT, *[_WHOLE] * len(parameters))
    return _on_each_device(function, in_specs=in_specs, out_specs=_SPLIT)(array, *parameters)


_SPLIT, _WHOLE = PartitionSpec(BATCH_AXIS), PartitionSpec()
_on_each_device = partial(jax.shard_map, axis_names={BATCH_AXIS}, check_vma=False)


def _are_split(array: jax.Array) -> bool:
    """Whether the examples can be split over several devices, each of which takes as many."""
    devices = jax.sharding.get_abstract_mesh().shape.get(BATCH_AXIS, 1)
    examples = array.shape[0]
    return devices > 1 and isinstance(examples, int) and examples % devices == 0
