"""`OPTIONS`: how the command lines read and show values that tyro would show otherwise."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args, get_origin

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from zoo.type_hints import has_type

OPTIONS = ConstructorRegistry()


@OPTIONS.primitive_rule
def _optional_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """`FLOAT` in the help for what may also be None, where tyro would write `{None}|FLOAT`."""
    members = get_args(info.type)
    if len(members) != 2 or NoneType not in members:
        return None
    (member,) = (member for member in members if member is not NoneType)
    inner = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(member, info.markers))
    if not isinstance(inner, PrimitiveConstructorSpec):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=inner.metavar,
        choices=None if inner.choices is None else (*inner.choices, "None"),
        instance_from_str=lambda words: None if words == ["None"] else inner.instance_from_str(words),
        is_instance=lambda value: value is None or inner.is_instance(value),
        str_from_instance=lambda value: ["None"] if value is None else inner.str_from_instance(value),
    )


@OPTIONS.primitive_rule
def _one_or_several_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """`INT [INT ...]`: one is a number, several are a tuple."""
    if set(get_args(info.type)) != {int, tuple[int, ...], NoneType}:
        return None

    def read(words: list[str]) -> int | tuple[int, ...] | None:
        if words == ["None"]:
            return None
        if not words or not all(word.isdecimal() for word in words):
            raise ValueError(f"{' '.join(words) or 'nothing'} is not one integer or several")
        return int(words[0]) if len(words) == 1 else tuple(map(int, words))

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="INT [INT ...]",
        instance_from_str=read,
        is_instance=lambda value: value is None or isinstance(value, int | tuple),
        str_from_instance=lambda value: [*map(str, value)] if isinstance(value, tuple) else [str(value)],
    )


@OPTIONS.primitive_rule
def _value_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """`VALUE`: a number, True, False, None, several integers with commas between them, or else a text."""
    if set(get_args(info.type)) != {int, float, bool, str, tuple[int, ...], NoneType}:
        return None

    def read(words: list[str]) -> int | float | bool | str | tuple[int, ...] | None:
        try:
            value = ast.literal_eval(words[0])
        except (ValueError, SyntaxError):
            return words[0]
        return value if has_type(value, info.type) else words[0]

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="VALUE",
        instance_from_str=read,
        is_instance=lambda value: has_type(value, info.type),
        str_from_instance=lambda value: [",".join(map(str, value)) if isinstance(value, tuple) else str(value)],
    )


@OPTIONS.primitive_rule
def _pairs_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """`[NAME VALUE ...]`; where there are pairs by default, tyro would instead make an option of each."""
    if get_origin(info.type) is not Mapping:
        return None
    _, annotation = get_args(info.type)
    inner = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(annotation, info.markers))
    assert isinstance(inner, PrimitiveConstructorSpec)

    def read(words: list[str]) -> dict[str, Any]:
        if len(words) % 2:
            raise ValueError(f"{' '.join(words)} is not pairs of a name and a value")
        return {name: inner.instance_from_str([word]) for name, word in zip(words[::2], words[1::2], strict=True)}

    def write(pairs: Mapping[str, Any]) -> list[str]:
        return [word for name, value in pairs.items() for word in (name, *inner.str_from_instance(value))]

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[NAME {inner.metavar} ...]",
        instance_from_str=read,
        is_instance=lambda pairs: isinstance(pairs, Mapping),
        str_from_instance=write,
    )
