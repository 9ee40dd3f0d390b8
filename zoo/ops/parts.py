"""Functions of the examples of a batch, computed part by part in a loop.

On a CPU a part stays in the cache where a batch does not, and what is computed on the way takes the memory of a part.
The arrays are computed before the loop and only once: XLA fuses nothing across its border.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

_PARTS = 8

Sums = TypeVar("Sums")


def not_before(array: jax.Array, value: jax.Array) -> jax.Array:
    """`value`, in a program that computes it only once `array` is computed.

    XLA:CPU schedules breadth first: what needs no activations, such as an array of zeros or a function of the
    parameters alone, it computes at the start of the program, and keeps until its time has come. Barriers do not help:
    they are gone by then. So the value is made to depend on the array, for all that XLA knows.

    Args:
        array: floating-point, with the examples along its first axis.
        value: which is returned.
    """
    # XLA does not know that nothing is more than infinite. One number an example can be read without exchanges.
    first = array.reshape(array.shape[0], -1)[:, 0] if array.size else array.reshape(-1)
    never = jnp.any(first > jnp.inf)
    return jnp.where(never, jnp.ones((), value.dtype), value)


def number_of_parts(examples: int, *, smallest: int = 1) -> int:
    """How many parts to sum over: eight, whose sums add up to one closer to the exact one; or fewer.

    Args:
        examples: how many there are; a symbolic number, which is not known to be divisible, is one part.
        smallest: least number of examples in a part.
    """
    if not isinstance(examples, int) or examples == 0:
        return 1
    return next((parts for parts in (_PARTS, 4, 2) if examples % parts == 0 and examples // parts >= smallest), 1)


def sum_over_parts(term: Callable[..., Sums], *arrays: jax.Array, parts: int) -> Sums:
    """Σ of `term(*part)` over equal parts of the arrays along their first axis.

    Args:
        term: maps parts of the arrays to arrays that can be added up.
        *arrays: of equal length.
        parts: how many; they divide the length.
    """
    if parts == 1:
        return term(*arrays)
    size = arrays[0].shape[0] // parts

    def add_part(index: jax.Array, sums: Sums) -> Sums:
        part = [lax.dynamic_slice_in_dim(array, index * size, size) for array in arrays]
        return jax.tree.map(jnp.add, sums, term(*part))

    def zeros(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        return not_before(arrays[-1], jnp.zeros(leaf.shape, leaf.dtype))

    like = jax.eval_shape(term, *(lax.slice_in_dim(array, 0, size) for array in arrays))
    return lax.fori_loop(0, parts, add_part, jax.tree.map(zeros, like))


def map_over_parts(function: Callable[[jax.Array], jax.Array], array: jax.Array, *, parts: int) -> jax.Array:
    """`function(array)`, which treats each example by itself, computed for equal parts of the examples.

    A part is every `parts`-th example: where XLA splits the examples over devices, it has a share of each device's, so
    that each loops over its own.

    Args:
        function: maps any number of examples, along the first axis, to as many.
        array: with the examples along its first axis.
        parts: how many; they divide the number of examples.
    """
    if parts == 1:
        return function(array)
    size = array.shape[0] // parts
    results = _map_over_axis(function, array.reshape(size, parts, *array.shape[1:]), 1, ready=array)
    return results.reshape(size * parts, *results.shape[2:])


def map_over_channels(
    function: Callable[[jax.Array], jax.Array], array: jax.Array, *, parts: int, ready: jax.Array
) -> jax.Array:
    """`function(array)`, which treats each channel by itself, computed for equal parts of the channels.

    Args:
        function: maps any number of channels, along the last axis, to as many.
        array: with the channels along its last axis.
        parts: how many; they divide the number of channels.
        ready: an array that is computed before the results are needed, see `not_before`.
    """
    if parts == 1:
        return function(array)
    size = array.shape[-1] // parts
    results = _map_over_axis(function, array.reshape(*array.shape[:-1], parts, size), array.ndim - 1, ready=ready)
    return results.reshape(*results.shape[:-2], parts * size)


def _map_over_axis(
    function: Callable[[jax.Array], jax.Array], array: jax.Array, axis: int, *, ready: jax.Array
) -> jax.Array:
    """`function` of each of the slices of an array; it keeps the number of axes."""

    def set_slice(index: jax.Array, results: jax.Array) -> jax.Array:
        result = function(lax.dynamic_index_in_dim(array, index, axis, keepdims=False))
        return lax.dynamic_update_index_in_dim(results, result, index, axis)

    like = jax.eval_shape(function, lax.index_in_dim(array, 0, axis, keepdims=False))
    results = jnp.zeros((*like.shape[:axis], array.shape[axis], *like.shape[axis:]), like.dtype)
    return lax.fori_loop(0, array.shape[axis], set_slice, not_before(ready, results))
