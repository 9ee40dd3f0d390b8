"""The trained weights that come with the package, each with a model card beside it."""

from __future__ import annotations

from pathlib import Path

from zoo.suggestions import nearest

DIRECTORY = Path(__file__).parent / "trained"


def names() -> list[str]:
    """The names under which `weights=` takes them, such as "zoo/shufflenet_v2_x0_5.cifar10", sorted."""
    return sorted(f"zoo/{path.stem}" for path in DIRECTORY.glob("*.safetensors"))


def find(name: str) -> Path:
    """Where the file lies; its model card, in Markdown, lies beside it: data, command, figures, limits and licence.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    if name not in names():
        raise ValueError(f"unknown weights {name!r}; {nearest(name, names())}")
    return DIRECTORY / f"{name.removeprefix('zoo/')}.safetensors"
