"""Programs that a test runs once: compiling them is what takes the time."""

from __future__ import annotations

import jax
from flax import nnx

from zoo.ops import force_lowering

FASTEST_TO_COMPILE = {"xla_backend_optimization_level": 0}


def features_of(model: nnx.Module, images: jax.Array) -> dict[str, jax.Array]:
    """`model.features(images)`, as one program."""
    graph, state = nnx.split(model)
    run = jax.jit(
        lambda state, images: nnx.merge(graph, state, copy=True).features(images), compiler_options=FASTEST_TO_COMPILE
    )
    with force_lowering("native"):
        return run(state, images)
