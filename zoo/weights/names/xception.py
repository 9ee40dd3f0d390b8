"""Xception in timm, as `legacy_xception`."""

from __future__ import annotations

from zoo.models import Xception
from zoo.models._names import NameMap, blocks


def timm(model: Xception) -> NameMap:
    layers = {"stem.layers.0": "[conv1,bn1]", "stem.layers.1": "[conv2,bn2]", "head": "fc"}
    *residual, first, second = blocks(model.stages)
    for number, (path, block) in enumerate(residual, start=1):
        layers[f"{path}.shortcut"] = f"block{number}.[skip,skipbn]"
        # Each separable convolution is followed by its norm and preceded by an activation, but for the very first.
        position = 0 if number == 1 else 1
        for conv in range(len(block.convs)):
            there = f"block{number}.rep"
            layers |= _separable(f"{path}.convs.{conv}", f"{there}.{position}", f"{there}.{position + 1}")
            position += 3
    for (path, _), number in ((first, 3), (second, 4)):
        layers |= _separable(path, f"conv{number}", f"bn{number}")
    return NameMap(layers)


def _separable(ours: str, conv: str, norm: str) -> dict[str, str]:
    return {
        f"{ours}.depthwise": f"{conv}.conv1",
        f"{ours}.pointwise.conv": f"{conv}.pointwise",
        f"{ours}.pointwise.norm": norm,
    }
