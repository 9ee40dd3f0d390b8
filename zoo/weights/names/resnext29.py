"""ResNeXt-29 in prlz77/ResNeXt.pytorch, the best-known implementation for PyTorch in the paper's size."""

from __future__ import annotations

from zoo.models import ResNeXt29
from zoo.models._names import NameMap, blocks, under

_BOTTLENECK = {
    "reduce": "[conv_reduce,bn_reduce]",
    "filter": "[conv_conv,bn]",
    "expand": "[conv_expand,bn_expand]",
    "shortcut": "shortcut.[shortcut_conv,shortcut_bn]",
}


def prlz77(model: ResNeXt29) -> NameMap:
    layers = {"stem": "[conv_1_3x3,bn_1]", "head": "classifier"}
    for path, _ in blocks(model.stages):
        _, stage, number = path.split(".")
        name = f"stage_{int(stage) + 1}"
        layers |= under(path, f"{name}.{name}_bottleneck_{number}", _BOTTLENECK)
    return NameMap(layers)
