"""DRN in its authors' own code, fyu/drn; form A is a ResNet, and named like one."""

from __future__ import annotations

from zoo.blocks import ConvNormAct
from zoo.models import DRN
from zoo.models._names import NameMap, blocks, under
from zoo.weights.names.resnet import BASIC, BOTTLENECK


def authors(model: DRN) -> NameMap:
    has_plain_start = isinstance(model.stages[0][0], ConvNormAct)  # form D
    layers = {"stem": "layer0.[0,1]" if has_plain_start else "[conv1,bn1]", "head": "fc"}
    for path, block in blocks(model.stages):
        _, stage, number = path.split(".")
        theirs = f"layer{int(stage) + 1}"
        if not isinstance(block, ConvNormAct):
            layers |= under(path, f"{theirs}.{number}", BASIC | BOTTLENECK)
        elif has_plain_start:
            layers[path] = f"{theirs}.[0,1]"
        else:  # a basic block without its shortcut
            conv = int(number) + 1
            layers[path] = f"{theirs}.0.[conv{conv},bn{conv}]"
    # Of those blocks the shortcuts are there, and not used, where the channels change.
    unused = tuple(f"layer{stage}.0.downsample." for stage in (7, 8))
    return NameMap(layers, convolutions=frozenset({"head"}), unused=unused)
