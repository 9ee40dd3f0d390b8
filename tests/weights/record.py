"""Records what the original nets compute with random weights, for `test_recorded.py`.

    python -m tests.weights.record

takes an environment with PyTorch, torchvision and timm; the recordings were made with 2.13.0, 0.28.0 and 1.0.31.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.weights.originals import build, load
from tests.weights.random_weights import random_images, random_tensor

SIZES = (96, 107)
NUM_CLASSES = 10
FOLDER = Path(__file__).parent / "recorded"
RECORDED = (  # the smallest of each family
    "timm/efficientnet_b0",
    "timm/legacy_xception",
    "timm/mnasnet_050",
    "timm/mobilenetv1_100",
    "timm/mobilenetv2_050",
    "timm/mobilenetv3_small_050",
    "timm/mobilenetv4_conv_small",
    "timm/regnety_002",
    "timm/semnasnet_100",
    "timm/tf_mobilenetv3_small_100",
    "torchvision/efficientnet_b0",
    "torchvision/googlenet",
    "torchvision/inception_v3",
    "torchvision/mnasnet0_5",
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_small",
    "torchvision/regnet_x_400mf",
    "torchvision/resnet18",
    "torchvision/resnext50_32x4d",
    "torchvision/shufflenet_v2_x0_5",
)


def record(original: str) -> np.ndarray:
    """Logits (sizes, images, classes) of a net with random weights, for images of several sizes."""
    net = build(original, NUM_CLASSES)
    load(net, {name: random_tensor(name, tuple(tensor.shape)) for name, tensor in net.state_dict().items()})
    with torch.inference_mode():
        images = [torch.from_numpy(random_images(size)).permute(0, 3, 1, 2) for size in SIZES]
        return np.stack([net(image).numpy() for image in images])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for original in RECORDED:
        np.save(FOLDER / f"{original.replace('/', '.')}.npy", record(original))
