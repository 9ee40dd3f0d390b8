"""Makes a LiteRT model of a program in StableHLO: litert-converter, without TensorFlow.

    python convert_litert.py PROGRAM.mlir OUT.tflite

It is a program of its own because the converter ends the process where it fails, and writes of its work to stderr.
"""

from __future__ import annotations

import sys

from litert_converter import converter_api_ext as converter
from litert_converter.mlir import ir, passmanager


def main(program: str, out: str) -> None:
    context = ir.Context()
    converter.prepare_mlir_context(context)
    with open(program, encoding="utf-8") as file:
        text = file.read()
    with context:
        module = ir.Module.parse(text)
        converter.set_signature(module.operation, "serving_default", ["images"], ["logits"])
        converter.run_convert_to_tfl_passes(module, passmanager.PassManager(), converter.ConvertToTFLConfig())
        content = converter.export_flatbuffer_to_bytes(module.operation)
    with open(out, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
