"""What XLA itself counts for a compiled model: operations, traffic and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


@dataclass(frozen=True)
class XlaCost:
    """XLA's figures for the inference of one batch on the default device.

    Attributes:
        flops: floating-point operations, where a multiply-accumulate is two; None if the backend counts none. What a
            lowering adds or a loop repeats is in it, or left out, as the backend does.
        bytes_accessed: read and written by all operations, in bytes; None if the backend counts none.
        argument_bytes: of weights and images.
        output_bytes: of the logits.
        temporary_bytes: at the most, of everything in between.
    """

    flops: float | None
    bytes_accessed: float | None
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int


def xla_cost(model: nnx.Module, image_shape: tuple[int, ...], batch_size: int = 1) -> XlaCost:
    """Compiles a model for inference and asks XLA what it costs; nothing is executed or allocated.

    Args:
        model: maps (N, *image_shape) to anything; may be an abstract one from `nnx.eval_shape`.
        image_shape: without the batch axis, such as (224, 224, 3).
        batch_size: N.

    Raises:
        ValueError: if `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    graph, state = nnx.split(nnx.view(model, deterministic=True, use_running_average=True, raise_if_not_found=False))
    images = jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.float32)

    def infer(state: Any, images: jax.Array) -> Any:
        return nnx.merge(graph, state, copy=True)(images)

    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    compiled = jax.jit(infer).lower(abstract, images).compile()
    counted: Any = compiled.cost_analysis() or {}
    memory: Any = compiled.memory_analysis()
    return XlaCost(
        flops=counted.get("flops"),
        bytes_accessed=counted.get("bytes accessed"),
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
    )
