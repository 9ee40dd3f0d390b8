"""StableHLO by `jax.export`: one file for CPUs, NVIDIA GPUs and TPUs, which JAX runs without any of this project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.errors import InconclusiveDimensionOperation

from zoo.export.errors import ExportError
from zoo.export.net import Net
from zoo.ops.lowering.measured import RULES_ALONE, use_measurements
from zoo.preprocessing import normalise

PLATFORMS = ("cpu", "cuda", "tpu")


def write(net: Net, path: Path, *, symbolic_size: bool, with_preprocessing: bool) -> None:
    """Writes a net for any number of images, in the form that `jax.export.deserialize` reads.

    The lowerings are those of the rules: what was measured on this machine is not for others.

    Args:
        net: to write.
        path: of the file.
        symbolic_size: for any height and width from half of the net's own on; its convolutions are then XLA's own.
        with_preprocessing: take uint8 pixels and give probabilities, not normalised images and logits.

    Raises:
        ExportError: if the net does not allow a symbolic size.
    """
    size = net.preprocessing.input_size
    least = smallest_size(net)
    scope = export.SymbolicScope([f"{name} >= {least}" for name in "hw"] if symbolic_size else [])
    shape = export.symbolic_shape("b, h, w, 3" if symbolic_size else f"b, {size}, {size}, 3", scope=scope)
    images = jax.ShapeDtypeStruct(shape, jnp.uint8 if with_preprocessing else jnp.float32)
    function = probabilities_of_pixels(net) if with_preprocessing else net.infer
    try:
        with use_measurements(RULES_ALONE), without_source_lines():
            exported = export.export(jax.jit(function), platforms=PLATFORMS)(images)
    except InconclusiveDimensionOperation as error:
        reason = str(error).splitlines()[0]
        raise ExportError(f"this net cannot be exported with a symbolic size: {reason}") from error
    path.write_bytes(exported.serialize())


def smallest_size(net: Net) -> int:
    """The least height and width that a net of symbolic size is exported for."""
    return -(-net.preprocessing.input_size // 2)


def probabilities_of_pixels(net: Net) -> Callable[[jax.Array], jax.Array]:
    """The net with what comes before and after it: uint8 pixels (N, H, W, 3) -> probabilities instead of logits."""
    infer = net.infer  # folded here, not while `classify` is traced

    def classify(pixels: jax.Array) -> jax.Array:
        return jax.nn.softmax(infer(normalise(pixels, net.preprocessing)))

    return classify


@contextmanager
def without_source_lines() -> Iterator[None]:
    """Keeps the places of this machine's files out of programs: the same net then gives the same bytes."""
    config: Any = jax.config
    before = config.jax_traceback_in_locations_limit
    config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        config.update("jax_traceback_in_locations_limit", before)
