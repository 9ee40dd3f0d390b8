"""What a fully connected CRF does to a prediction, drawn into docs/crf.png, and to the mean IoU of 200 test images.

    uv run python examples/crf.py RUN [FILE]

RUN is the directory of a run on `scenes`. The net's map of scores is a quarter as fine as the image, so that borders
come out round; the CRF moves them to the edges of the image. Its deviations are about an eighth of DeepLab's
(1412.7062), for images of 64 pixels; only that of the colours is larger, as there is noise in them here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import zoo
from zoo.crf import CRFParameters, mean_field
from zoo.data import scenes
from zoo.data.dataset import IGNORED
from zoo.palette import palette
from zoo.preprocessing import normalise
from zoo.training.report import confusion_matrix
from zoo.training.tasks.segmentation_evaluation import SegmentationEvaluation
from zoo.weights.checkpoint import find_checkpoint, model_of

PARAMETERS = CRFParameters(
    appearance_weight=4.0,
    position_deviation=6.0,
    colour_deviation=30.0,
    smoothness_weight=1.0,
    smoothness_deviation=1.0,
    iterations=10,
)
COUNT, SHOWN, SCALE, GAP = 200, 6, 2, 4


def main() -> None:
    weights = sys.argv[1]
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent.parent / "docs" / "crf.png"
    drawn = scenes.generate(COUNT, [0, 1])  # the first test images
    checkpoint = find_checkpoint(weights)
    name = model_of(checkpoint, None)
    net = zoo.create_model(name, weights=checkpoint)
    net.eval()
    how = zoo.model_info(name, weights=checkpoint).preprocessing
    logits = jnp.concatenate([net(normalise(part, how)) for part in np.split(drawn.images, 10)])
    probabilities = jax.lax.map(lambda pair: mean_field(*pair, PARAMETERS), (logits, jnp.asarray(drawn.images)))
    alone, sharpened = (np.asarray(scores.argmax(-1)) for scores in (logits, probabilities))
    for what, predictions in (("the net alone", alone), ("with the CRF", sharpened)):
        print(f"{what}: mean IoU {mean_iou(predictions, drawn.masks):.2%}")
    draw(path, drawn, alone, sharpened)
    print(path)


def mean_iou(predictions: np.ndarray, masks: np.ndarray) -> float:
    """Over all pixels that have a class."""
    has_class = masks != IGNORED
    confusion = confusion_matrix(masks[has_class], predictions[has_class], len(scenes.CLASS_NAMES))
    return SegmentationEvaluation.of(confusion, 0.0, scenes.CLASS_NAMES).mean_iou


def draw(path: Path, drawn: scenes.Scenes, alone: np.ndarray, sharpened: np.ndarray) -> None:
    """Rows of image, truth, prediction, and prediction with the CRF."""
    colours, step = palette(), SCALE * scenes.IMAGE_SIZE + GAP
    sheet = Image.new("RGB", (SHOWN * step - GAP, 4 * step - GAP), "white")
    for column in range(SHOWN):
        masks = (drawn.masks[column], alone[column], sharpened[column])
        for row, pixels in enumerate((drawn.images[column], *(colours[mask] for mask in masks))):
            size = (SCALE * scenes.IMAGE_SIZE,) * 2
            picture = Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
            sheet.paste(picture, (column * step, row * step))
    sheet.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
