"""What public PyTorch implementations call the layers of a net: `NameMap`, and what the maps of the families share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class NameMap:
    """The names of one implementation of a net.

    Attributes:
        layers: where a layer is in our model -> its name there. The two layers inside a `ConvNormAct` or a
            `SqueezeExcite` are named together, as in `features.0.[0,1]`. What a model lacks, or has as a sequence
            of layers, is passed over, so that a map can name the places of several forms of a net.
        flattened: our linear layers that classify a flattened map -> its height and width. PyTorch flattens the
            channels first, we last.
        convolutions: our linear layers that are convolutions there.
        fixed: tensors there that are not learned, and that our model does without -> their values.
        unused: how the names of tensors begin that have no place in our model.
        dilates_first: `Net.dilates_first` there; None if nothing depends on it.
        epsilon: what the batch norms there add to the variance; None if they differ, as ours then do by themselves.
    """

    layers: Mapping[str, str]
    flattened: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    convolutions: frozenset[str] = frozenset()
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    dilates_first: bool | None = None
    epsilon: float | None = 1e-5


def blocks(stages: Iterable[Iterable[Any]]) -> Iterator[tuple[str, Any]]:
    """Where each block of a model's stages is, as in `stages.0.1`, and the block itself."""
    for stage, members in enumerate(stages):
        for number, block in enumerate(members):
            yield f"stages.{stage}.{number}", block


def numbered(pattern: str, depths: Iterable[int], first: int = 0) -> list[str]:
    """`pattern` with the numbers of every stage and block: `blocks.{}.{}` gives `blocks.0.0`, `blocks.1.0`, ..."""
    return [pattern.format(stage, number) for stage, depth in enumerate(depths, first) for number in range(depth)]


def under(ours: str, theirs: str, layers: Mapping[str, str]) -> dict[str, str]:
    """The names of a block's layers, given where the block is and what it is called there."""
    return {f"{ours}.{layer}": f"{theirs}.{name}" for layer, name in layers.items()}


def present(block: Any, layers: Sequence[str]) -> list[str]:
    """Those of the layers that the block has, for implementations that number what there is."""
    return [layer for layer in layers if getattr(block, layer, None) is not None]


def timm_inverted_residuals(stages: Iterable[Iterable[Any]], depths: Iterable[int]) -> dict[str, str]:
    """The names that timm gives to the stem, the inverted residuals and the head of a net.

    Args:
        stages: of our model.
        depths: how many blocks each row of the table has by which timm builds it.
    """
    layers = {"stem": "[conv_stem,bn1]", "head": "classifier"}
    for (path, block), theirs in zip(blocks(stages), numbered("blocks.{}.{}", depths), strict=True):
        inside = {"squeeze_excite": "se.[conv_reduce,conv_expand]"}
        if block.expand is None:
            inside |= {"depthwise": "[conv_dw,bn1]", "project": "[conv_pw,bn2]"}
        else:
            inside |= {"expand": "[conv_pw,bn1]", "depthwise": "[conv_dw,bn2]", "project": "[conv_pwl,bn3]"}
        layers |= under(path, theirs, inside)
    return layers


def torchvision_inverted_residual(ours: str, theirs: str, block: Any) -> dict[str, str]:
    """The names of an inverted residual whose layers torchvision numbers as `block.0`, `block.1`, ..."""
    layers = present(block, ("expand", "depthwise", "squeeze_excite", "project"))
    pairs = {"squeeze_excite": "[fc1,fc2]"}
    names = {layer: f"block.{position}.{pairs.get(layer, '[0,1]')}" for position, layer in enumerate(layers)}
    return under(ours, theirs, names)
