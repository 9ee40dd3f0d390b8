"""`Section`: a group of fields of a config, each of which is checked against its type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints


class Section:
    """A group of fields; each is checked against its type when the group is made."""

    _path: ClassVar[str] = ""  # what stands before a field's name in its dotted path

    def __post_init__(self) -> None:
        for name, annotation in annotations_of(type(self)).items():
            self._require(name, _fits(getattr(self, name), annotation), _describe(annotation))

    def _require(self, name: str, condition: bool, expected: str) -> None:
        if not condition:
            raise ValueError(f"{self._path}{name} must be {expected}, not {getattr(self, name)!r}")


def annotations_of(cls: type) -> dict[str, Any]:
    """Name of each field -> the type it is annotated with."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def _fits(value: Any, annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(annotation))
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if get_origin(annotation) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(annotation)[0]) for item in value)
    if get_origin(annotation) is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(item, kind) for pair in value.items() for item, kind in zip(pair, get_args(annotation), strict=True)
        )
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation)


def _describe(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_describe, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " or ".join(map(repr, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"several of {_describe(get_args(annotation)[0])}"
    if get_origin(annotation) is Mapping:
        return f"names with {_describe(get_args(annotation)[1])} each"
    names = {int: "an integer", float: "a finite number", bool: "True or False", str: "a string", NoneType: "None"}
    return names.get(annotation, f"of type {annotation.__name__}")
