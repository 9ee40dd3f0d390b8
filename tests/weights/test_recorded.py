"""A net of each family beside what the original was recorded to compute with the same weights (`record.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import randomise
from tests.weights.originals import ORIGINALS
from tests.weights.random_weights import random_images, random_tensor
from zoo.ops import force_lowering
from zoo.registry import _models
from zoo.weights.load import load_weights
from zoo.weights.name_map import name_maps, torch_tensors
from zoo.weights.safetensors import write_tensors

SIZE = 107  # odd, as most mistakes show there; the recordings have 96 as well
RECORDINGS = sorted((Path(__file__).parent / "recorded").glob("*.npy"))
OF_EACH_LIBRARY = ("torchvision.mobilenet_v2", "timm.mobilenetv4_conv_small")  # the others take minutes
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.875, "interpolation": "bicubic"}


def test_every_family_and_library_is_recorded():
    left_out = kinds_of(ORIGINALS) - kinds_of(recording.stem.replace(".", "/", 1) for recording in RECORDINGS)
    # The first five have hundreds of megabytes or logits at the size of the image, the others the same names in both
    # libraries.
    # `test_originals.py` has all of them.
    assert {f"{library} {kind.__name__}" for library, kind in left_out} == {
        "torchvision AlexNet",
        "torchvision VGG16",
        "torchvision FCN",
        "torchvision DeepLabV3",
        "torchvision LRASPP",
        "timm VGG16",
        "timm InceptionV3",
        "timm ResNet",
    }


def kinds_of(originals: Iterable[str]) -> set[tuple[str, type]]:
    """Library and class of our model."""
    return {(original.split("/")[0], _models[ORIGINALS[original]].architecture) for original in originals}


def abstract(name: str) -> nnx.Module:
    return nnx.eval_shape(lambda: zoo.create_model(name, num_classes=10))


@pytest.mark.parametrize(
    "recording",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in OF_EACH_LIBRARY else pytest.mark.slow)
        for path in RECORDINGS
    ],
)
def test_logits_agree_with_the_original(recording, tmp_path):
    library, original = recording.stem.split(".", 1)
    name = ORIGINALS[f"{library}/{original}"]
    model = abstract(name)
    tensors = torch_tensors(model, name_maps(model)[library]).values()
    weights = {tensor.name: random_tensor(tensor.name, tensor.shape) for tensor in tensors}
    write_tensors(tmp_path / "model.safetensors", weights, {})
    if library == "timm":
        config = {"architecture": original, "pretrained_cfg": {"input_size": [3, 224, 224], **IMAGENET}}
        (tmp_path / "config.json").write_text(json.dumps(config))

    randomise(model)
    load_weights(model, tmp_path)
    model.eval()
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, images: nnx.merge(graph, state)(images))
    with force_lowering("native"):
        logits = run(state, random_images(SIZE))
    expected = np.load(recording)[1]
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()
