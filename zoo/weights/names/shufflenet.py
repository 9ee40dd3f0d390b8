"""ShuffleNetV2 in torchvision."""

from __future__ import annotations

from zoo.models import ShuffleNetV2
from zoo.models._names import NameMap, blocks, numbered, under

_UNIT = {
    "shortcut.layers.0": "branch1.[0,1]",
    "shortcut.layers.1": "branch1.[2,3]",
    "branch.layers.0": "branch2.[0,1]",
    "branch.layers.1": "branch2.[3,4]",
    "branch.layers.2": "branch2.[5,6]",
}


def torchvision_v2(model: ShuffleNetV2) -> NameMap:
    layers = {"stem": "conv1.[0,1]", "stem.layers.0": "conv1.[0,1]", "last": "conv5.[0,1]", "head": "fc"}
    theirs = numbered("stage{}.{}", map(len, model.stages), first=2)
    for (path, _), name in zip(blocks(model.stages), theirs, strict=True):
        layers |= under(path, name, _UNIT)
    return NameMap(layers)
