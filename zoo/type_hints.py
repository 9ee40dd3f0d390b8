"""Whether a value, such as one from a file, is of the type that an argument is annotated with."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def annotated_types(function: Callable[..., Any]) -> dict[str, Any]:
    """Name of each argument -> its annotation; empty if that names what cannot be found."""
    try:
        return get_type_hints(function)
    except NameError:
        return {}


def has_type(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type.

    Numbers have to be finite, and a list will do for a tuple. Of what is neither a number, a text, None, a tuple nor a
    callable nothing is known, and any value will do.
    """
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(has_type(value, member) for member in members)
    if origin is tuple:
        of = members[0]
        return (
            isinstance(value, list | tuple)
            and (members[-1] is Ellipsis or len(value) == len(members))
            and all(has_type(one, of) for one in value)
        )
    if origin is Callable:
        return callable(value)
    if hint in (int, float):
        return is_finite(value) and (hint is float or isinstance(value, Integral))
    return isinstance(value, hint) if hint in (bool, str, NoneType) else True


def is_finite(value: Any) -> bool:
    """Whether it is a number, neither infinite nor an integer beyond 64 bits."""
    if isinstance(value, Integral):
        return not isinstance(value, bool) and abs(int(value)) < 2**63
    return isinstance(value, Real) and math.isfinite(value)


def described(hint: Any) -> str:
    """The annotation as it is written: `float`, `int | None`."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
