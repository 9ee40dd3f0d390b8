"""Computing a block a second time in the backward pass, instead of keeping what it computed the first time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from zoo.ops import convolutions_saveable

_is_on = jax.make_user_context(False)  # part of the key of JAX's caches


@contextmanager
def rematerialise_blocks() -> Iterator[None]:
    """Makes models keep less for their gradients: within each block, what its convolutions produce and no more.

    Holds for what is traced within. The backward pass computes normalised maps and activations again from the outputs
    of the convolutions, when it comes to the block (1604.06174, section 4.1). Logits, gradients, batch statistics and
    random masks stay the same. Gradients are by reverse mode alone: `jax.jvp` and `jax.linearize` raise a TypeError.
    """
    with _is_on(True):
        yield


def run(block: Callable[..., jax.Array], *maps: jax.Array) -> jax.Array:
    """`block(*maps)`; within `rematerialise_blocks` computed again in the backward pass.

    Args:
        block: an `nnx.Module`.
        *maps: shape (N, ...); so is the result.
    """
    if not _is_on.value:
        return block(*maps)
    graph, *states = nnx.split(block, nnx.Param, ...)

    def apply(params: nnx.State, others: nnx.State, *maps: jax.Array) -> tuple[jax.Array, nnx.State]:
        merged = nnx.merge(graph, params, others, copy=True)
        return merged(*maps), nnx.state(merged, nnx.Not(nnx.Param))

    y, others = _computed_twice(apply)(*states, *maps)
    nnx.update(block, others)
    return y


def _computed_twice(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.checkpoint` that also saves memory on the CPU, for functions whose first result has an axis of examples.

    XLA must not find that the backward pass computes what it has already: it would keep that from the first time.
    `jax.checkpoint` puts optimization barriers in its way, but XLA:CPU removes them before it looks.
    """
    checkpointed = jax.checkpoint(function, policy=convolutions_saveable, prevent_cse=False)

    def backward(gradient: Any, cotangents: Any) -> Any:
        return _after(cotangents[0], gradient)(cotangents)

    differentiable = jax.custom_vjp(function)
    differentiable.defvjp(lambda *operands: jax.vjp(checkpointed, *operands), backward)
    return differentiable


def _after(cotangent: jax.Array, saved: Any) -> Any:
    """What was saved, in such a form that XLA computes with it only when it has the cotangent, shape (N, ...)."""
    return jax.lax.platform_dependent(cotangent, saved, cpu=_select, default=_barrier)


def _barrier(cotangent: jax.Array, saved: Any) -> Any:
    return jax.lax.optimization_barrier((cotangent, saved))[1]


def _select(cotangent: jax.Array, saved: Any) -> Any:
    """Selects by a condition on the cotangent that always holds, which XLA does not know."""
    # One for each example, so that nothing crosses devices where the examples are sharded.
    of_examples = cotangent[(slice(None), *(0,) * (cotangent.ndim - 1))]
    holds = ~(jnp.isnan(of_examples) & jnp.isinf(of_examples))

    def select(leaf: jax.Array) -> jax.Array:
        if leaf.ndim != cotangent.ndim or len(leaf) != len(cotangent):
            return leaf  # a parameter, or a statistic
        return jnp.where(jnp.expand_dims(holds, range(1, leaf.ndim)), leaf, jnp.zeros((), leaf.dtype))

    return jax.tree.map(select, saved)
