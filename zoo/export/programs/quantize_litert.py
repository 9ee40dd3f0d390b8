"""Makes an int8 model of a LiteRT model in float32: the static recipe of ai-edge-quantizer.

    python quantize_litert.py FLOAT.tflite IMAGES.npy OUT.tflite

The images are float32 (N, H, W, 3), as the net takes them; they tell the ranges of the activations.
"""

from __future__ import annotations

import sys

import numpy as np
from ai_edge_quantizer import quantizer, recipe
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName


def main(model: str, images: str, out: str) -> None:
    work = quantizer.Quantizer(model)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):  # images and logits stay float32, as without int8
        work.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    examples = np.load(images, mmap_mode="r")
    ranges = work.calibrate({"serving_default": [{"images": np.array(image[None])} for image in examples]})
    with open(out, "wb") as file:
        file.write(work.quantize(ranges).quantized_model)


if __name__ == "__main__":
    main(*sys.argv[1:])
