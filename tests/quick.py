"""Programs that a test runs once: compiling them is what takes the time."""

from __future__ import annotations

import jax
from flax import nnx

from zoo.ops import force_lowering

FASTEST_TO_COMPILE: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
if jax.__version_info__[:2] == (0, 10):  # later versions have no such option
    # A whole net's gradient compiles in half of the time.
    FASTEST_TO_COMPILE["xla_cpu_use_fusion_emitters"] = False


def features_of(model: nnx.Module, images: jax.Array) -> dict[str, jax.Array]:
    """`model.features(images)`, as one program."""
    graph, state = nnx.split(model)
    run = jax.jit(
        lambda state, images: nnx.merge(graph, state, copy=True).features(images), compiler_options=FASTEST_TO_COMPILE
    )
    with force_lowering("native"):
        return run(state, images)
