"""What the name maps share: the blocks of a model in order, and the numbering of blocks and layers elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from zoo.models.classifier import ImageClassifier


def blocks(model: ImageClassifier) -> Iterator[tuple[str, Any]]:
    """Where each block of the stages is, as in `stages.0.1`, and the block itself."""
    for stage, members in enumerate(model.stages):
        for number, block in enumerate(members):
            yield f"stages.{stage}.{number}", block


def numbered(prefix: str, depths: Iterable[int], first: int = 0) -> list[str]:
    """`prefix` with the numbers of every stage and block: `blocks.{}.{}` gives `blocks.0.0`, `blocks.1.0`, ..."""
    return [prefix.format(stage, number) for stage, depth in enumerate(depths, first) for number in range(depth)]


def under(ours: str, theirs: str, layers: dict[str, str]) -> dict[str, str]:
    """The names of a block's layers, given where the block is and what it is called there."""
    return {f"{ours}.{layer}": f"{theirs}.{name}" for layer, name in layers.items()}


def present(block: Any, layers: Sequence[str]) -> list[str]:
    """Those of the layers that the block has, for implementations that number what there is."""
    return [layer for layer in layers if getattr(block, layer, None) is not None]
