"""The weights that torchvision publishes: their files, and the images that they were trained for."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo import published
from zoo.preprocessing import Preprocessing
from zoo.registry import published_weights
from zoo.suggestions import nearest
from zoo.weights.unavailable import WeightsUnavailableError

_ADDRESS = "https://download.pytorch.org/models/"
_SECONDS = 10  # to wait for an answer


@dataclass(frozen=True)
class TorchvisionWeights:
    """Published weights.

    Attributes:
        model: our name of the model.
        file: its name ends with the beginning of the file's SHA-256.
        preprocessing: what images go through.
    """

    model: str
    file: str
    preprocessing: Preprocessing


def _weights(
    model: str,
    file: str,
    resize_size: int = 256,
    input_size: int = 224,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    halves: bool = False,
) -> TorchvisionWeights:
    # Weights from TensorFlow take pixels between -1 and 1. torchvision's nets with them make these of pixels that
    # were normalised in the way of ImageNet, which is the same as to normalise them so in the first place.
    values = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)} if halves else {}
    return TorchvisionWeights(model, file, Preprocessing(input_size, resize_size, interpolation, **values))


_WEIGHTS = {
    "AlexNet_Weights.IMAGENET1K_V1": _weights("alexnet", "alexnet-owt-7be5be79.pth"),
    "EfficientNet_B0_Weights.IMAGENET1K_V1": _weights(
        "efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", interpolation="bicubic"
    ),
    "GoogLeNet_Weights.IMAGENET1K_V1": _weights("googlenet", "googlenet-1378be20.pth", halves=True),
    "Inception_V3_Weights.IMAGENET1K_V1": _weights(
        "inception_v3", "inception_v3_google-0cc3c7bd.pth", 342, 299, halves=True
    ),
    "MNASNet0_5_Weights.IMAGENET1K_V1": _weights("mnasnet_b1_x0_5", "mnasnet0.5_top1_67.823-3ffadce67e.pth"),
    "MNASNet0_75_Weights.IMAGENET1K_V1": _weights("mnasnet_b1_x0_75", "mnasnet0_75-7090bc5f.pth", 232),
    "MNASNet1_0_Weights.IMAGENET1K_V1": _weights("mnasnet_b1", "mnasnet1.0_top1_73.512-f206786ef8.pth"),
    "MNASNet1_3_Weights.IMAGENET1K_V1": _weights("mnasnet_b1_x1_3", "mnasnet1_3-a4c69d6f.pth", 232),
    "MobileNet_V3_Large_Weights.IMAGENET1K_V1": _weights("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth"),
    "MobileNet_V3_Large_Weights.IMAGENET1K_V2": _weights("mobilenet_v3_large", "mobilenet_v3_large-5c1a4163.pth", 232),
    "MobileNet_V3_Small_Weights.IMAGENET1K_V1": _weights("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth"),
    "RegNet_X_400MF_Weights.IMAGENET1K_V1": _weights("regnet_x_400mf", "regnet_x_400mf-adf1edd5.pth"),
    "RegNet_X_400MF_Weights.IMAGENET1K_V2": _weights("regnet_x_400mf", "regnet_x_400mf-62229a5f.pth", 232),
    "RegNet_X_800MF_Weights.IMAGENET1K_V1": _weights("regnet_x_800mf", "regnet_x_800mf-ad17e45c.pth"),
    "RegNet_X_800MF_Weights.IMAGENET1K_V2": _weights("regnet_x_800mf", "regnet_x_800mf-94a99ebd.pth", 232),
    "RegNet_Y_400MF_Weights.IMAGENET1K_V1": _weights("regnet_y_400mf", "regnet_y_400mf-c65dace8.pth"),
    "RegNet_Y_400MF_Weights.IMAGENET1K_V2": _weights("regnet_y_400mf", "regnet_y_400mf-e6988f5f.pth", 232),
    "RegNet_Y_800MF_Weights.IMAGENET1K_V1": _weights("regnet_y_800mf", "regnet_y_800mf-1b27b58c.pth"),
    "RegNet_Y_800MF_Weights.IMAGENET1K_V2": _weights("regnet_y_800mf", "regnet_y_800mf-58fc7688.pth", 232),
    "ResNet18_Weights.IMAGENET1K_V1": _weights("resnet18", "resnet18-f37072fd.pth"),
    "ResNet50_Weights.IMAGENET1K_V1": _weights("resnet50", "resnet50-0676ba61.pth"),
    "ResNet50_Weights.IMAGENET1K_V2": _weights("resnet50", "resnet50-11ad3fa6.pth", 232),
    "ResNeXt50_32X4D_Weights.IMAGENET1K_V1": _weights("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth"),
    "ResNeXt50_32X4D_Weights.IMAGENET1K_V2": _weights("resnext50_32x4d", "resnext50_32x4d-1a0047aa.pth", 232),
    "ResNeXt101_32X8D_Weights.IMAGENET1K_V1": _weights("resnext101_32x8d", "resnext101_32x8d-8ba56ff5.pth"),
    "ResNeXt101_32X8D_Weights.IMAGENET1K_V2": _weights("resnext101_32x8d", "resnext101_32x8d-110c445d.pth", 232),
    "ResNeXt101_64X4D_Weights.IMAGENET1K_V1": _weights("resnext101_64x4d", "resnext101_64x4d-173b62eb.pth", 232),
    "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1": _weights("shufflenet_v2_x0_5", "shufflenetv2_x0.5-f707e7126e.pth"),
    "ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1": _weights("shufflenet_v2_x1_0", "shufflenetv2_x1-5666bf0f80.pth"),
    "ShuffleNet_V2_X1_5_Weights.IMAGENET1K_V1": _weights("shufflenet_v2_x1_5", "shufflenetv2_x1_5-3c479a10.pth", 232),
    "ShuffleNet_V2_X2_0_Weights.IMAGENET1K_V1": _weights("shufflenet_v2_x2_0", "shufflenetv2_x2_0-8be3c8ee.pth", 232),
    "VGG16_Weights.IMAGENET1K_V1": _weights("vgg16", "vgg16-397923af.pth"),
}


def find(name: str) -> TorchvisionWeights:
    """Published weights by the name that torchvision gives them, such as "MobileNet_V2_Weights.IMAGENET1K_V2".

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    known = _known()
    if name not in known:
        raise ValueError(f"unknown weights 'torchvision/{name}'; {nearest(name, sorted(known))}")
    return known[name]


def _known() -> dict[str, TorchvisionWeights]:
    return _WEIGHTS | {
        weights.name: TorchvisionWeights(model, weights.file, weights.preprocessing)
        for model, weights in published_weights()
        if isinstance(weights, published.TorchvisionWeights)
    }


def fetch(weights: TorchvisionWeights) -> Path:
    """Where the file lies in PyTorch's cache, fetched from torchvision's address if it was not there.

    Raises:
        WeightsUnavailableError: if it cannot be fetched.
        ValueError: if what comes is not what its name says; nothing is kept of it.
    """
    import requests

    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    torch_home = Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser()
    path = torch_home / "hub" / "checkpoints" / weights.file
    if path.is_file():
        return path
    address = _ADDRESS + weights.file
    try:
        answer = requests.get(address, timeout=_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise WeightsUnavailableError.from_network(
            address, error, f"Without a network, put the file at {path}."
        ) from error
    digest = hashlib.sha256(answer.content).hexdigest()
    expected = re.findall(r"-([0-9a-f]+)\.pth", weights.file)[-1]
    if not digest.startswith(expected):
        raise ValueError(f"{address} gave a file with SHA-256 {digest}, which must begin with {expected}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(answer.content)
    os.replace(unfinished, path)
    return path


def models() -> set[str]:
    """Our names of the models that torchvision has weights for."""
    return {weights.model for weights in _known().values()}
