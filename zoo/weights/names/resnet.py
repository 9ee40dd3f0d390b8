"""ResNet and ResNeXt, whose names are the same in torchvision and timm."""

from __future__ import annotations

from zoo.models import ResNet
from zoo.models._names import NameMap, blocks, numbered, under

BASIC = {"conv1": "[conv1,bn1]", "conv2": "[conv2,bn2]", "shortcut": "downsample.[0,1]"}
BOTTLENECK = {
    "reduce": "[conv1,bn1]",
    "filter": "[conv2,bn2]",
    "expand": "[conv3,bn3]",
    "shortcut": "downsample.[0,1]",
}


def torchvision(model: ResNet) -> NameMap:
    layers = {"stem": "[conv1,bn1]", "stem.layers.0": "[conv1,bn1]", "head": "fc"}
    theirs = numbered("layer{}.{}", map(len, model.stages), first=1)
    for (path, _), name in zip(blocks(model.stages), theirs, strict=True):
        layers |= under(path, name, BASIC | BOTTLENECK)
    return NameMap(layers)
