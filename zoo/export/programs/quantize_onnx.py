"""Makes an int8 model of an ONNX model in float32: onnxruntime's static quantiser, which inserts Q and DQ operators.

    python quantize_onnx.py FLOAT.onnx IMAGES.npy OUT.onnx

Activations are uint8, which onnxruntime is fast with on x86, and weights int8 with a scale for each channel. The images
are float32 (N, H, W, 3), as the net takes them; they tell the ranges of the activations.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class _Images(CalibrationDataReader):
    def __init__(self, path: str) -> None:
        self._images = iter(np.load(path, mmap_mode="r"))

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"images": np.array(image[None])}


def main(model: str, images: str, out: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            out,
            _Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Adjusting weights to their biases fails with a scale for each channel in onnxruntime 1.32.
            extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
