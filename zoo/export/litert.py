"""LiteRT (TensorFlow Lite), for phones and small boards: StableHLO through litert-converter, without TensorFlow."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from zoo.export.apart import start_program
from zoo.export.net import Net
from zoo.export.stablehlo import without_source_lines
from zoo.ops import force_lowering


def write(net: Net, path: Path) -> None:
    """Writes a net for one image at a time, float32 (1, H, W, 3) -> logits, (1, classes) or (1, H, W, classes).

    Raises:
        ExportError: if the converter cannot convert it.
    """
    image = jax.ShapeDtypeStruct((1, *net.image_shape), jnp.float32)
    # The TPU's program has the native convolutions, which the converter makes its own operators of.
    with force_lowering("native"), without_source_lines():
        program = export.export(jax.jit(net.infer), platforms=("tpu",))(image)
    with tempfile.TemporaryDirectory(prefix="zoo-export-") as folder:
        text = Path(folder) / "program.mlir"
        text.write_text(program.mlir_module(), encoding="utf-8")
        start_program("convert_litert", text, path, failing="litert-converter cannot convert this net")
