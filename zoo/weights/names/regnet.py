"""RegNet in torchvision and in timm."""

from __future__ import annotations

from zoo.models import RegNet
from zoo.models._names import NameMap, under


def torchvision(model: RegNet) -> NameMap:
    layers = {"stem": "stem.[0,1]", "head": "fc"}
    for stage, members in enumerate(model.stages):
        for number in range(len(members)):
            inside = {
                "reduce": "f.a.[0,1]",
                "filter": "f.b.[0,1]",
                "squeeze_excite": "f.se.[fc1,fc2]",
                "expand": "f.c.[0,1]",
                "shortcut": "proj.[0,1]",
            }
            name = f"trunk_output.block{stage + 1}.block{stage + 1}-{number}"
            layers |= under(f"stages.{stage}.{number}", name, inside)
    return NameMap(layers)


def timm(model: RegNet) -> NameMap:
    layers = {"stem": "stem.[conv,bn]", "head": "head.fc"}
    for stage, members in enumerate(model.stages):
        for number in range(len(members)):
            inside = {
                "reduce": "conv1.[conv,bn]",
                "filter": "conv2.[conv,bn]",
                "squeeze_excite": "se.[fc1,fc2]",
                "expand": "conv3.[conv,bn]",
                "shortcut": "downsample.[conv,bn]",
            }
            layers |= under(f"stages.{stage}.{number}", f"s{stage + 1}.b{number + 1}", inside)
    return NameMap(layers)
