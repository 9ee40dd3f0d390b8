"""The names that public PyTorch implementations give to the layers of our models, one family a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import nnx

from zoo.models import (
    DRN,
    VGG16,
    AlexNet,
    EfficientNet,
    GoogLeNet,
    InceptionV3,
    MnasNet,
    MobileNetV1,
    MobileNetV3,
    MobileNetV4,
    RegNet,
    ResNet,
    ResNeXt29,
    ShuffleNetV2,
    Xception,
)
from zoo.models._names import NameMap
from zoo.models.classifier import ImageClassifier
from zoo.weights.names import alexnet, drn, inception, mobilenet, regnet, resnet, resnext29, shufflenet, vgg, xception

# What torchvision and timm have not is named as in its best-known implementation for PyTorch.
_MAPS: dict[type, dict[str, Callable[[Any], NameMap | None]]] = {
    DRN: {"fyu/drn": drn.authors},
    AlexNet: {"torchvision": alexnet.torchvision},
    EfficientNet: {"torchvision": mobilenet.torchvision_efficientnet, "timm": mobilenet.timm_efficientnet},
    GoogLeNet: {"torchvision": inception.googlenet},
    InceptionV3: {"torchvision": inception.inception_v3, "timm": inception.inception_v3},
    MnasNet: {"torchvision": mobilenet.torchvision_mnasnet, "timm": mobilenet.timm_mnasnet},
    MobileNetV1: {"timm": mobilenet.timm_v1},
    MobileNetV3: {"torchvision": mobilenet.torchvision_v3, "timm": mobilenet.timm_v3},
    MobileNetV4: {"timm": mobilenet.timm_v4},
    RegNet: {"torchvision": regnet.torchvision, "timm": regnet.timm},
    ResNeXt29: {"prlz77/ResNeXt.pytorch": resnext29.prlz77},
    ResNet: {"torchvision": resnet.torchvision, "timm": resnet.torchvision},
    ShuffleNetV2: {"torchvision": shufflenet.torchvision_v2},
    VGG16: {"torchvision": vgg.torchvision, "timm": vgg.timm},
    Xception: {"timm": xception.timm},
}


def name_maps(model: nnx.Module) -> dict[str, NameMap]:
    """Where there is such a model, as in "torchvision" or "timm", and the names there."""
    maps = {library: make(model) for library, make in _MAPS.get(type(model), {}).items()}
    own = model.torch_names() if isinstance(model, ImageClassifier) else {}
    return {library: names for library, names in maps.items() if names is not None} | own
