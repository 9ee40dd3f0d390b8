"""Which lowering a convolution gets: the rules, first match wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

from zoo.ops.lowering.geometry import ConvGeometry

LoweringName = Literal["native", "depthwise", "grouped", "pointwise", "dense"]

_native_is_forced: ContextVar[bool] = ContextVar("native is forced", default=False)


class Rule(NamedTuple):
    platform: str
    applies: Callable[[ConvGeometry], bool]
    lowering: LoweringName


RULES = (
    Rule("cpu", lambda geometry: geometry.groups > 1 and geometry.is_depthwise, "depthwise"),
    Rule("cpu", lambda geometry: geometry.groups > 1, "grouped"),
    Rule("cpu", lambda geometry: geometry.is_pointwise, "pointwise"),
    Rule("cpu", lambda geometry: True, "dense"),
)
"""No rule names a GPU or TPU: nothing was measured there, so they keep XLA's own convolutions."""


def select(geometry: ConvGeometry, platform: str) -> LoweringName:
    """The lowering of a convolution on a platform ("cpu", "cuda", "tpu", ...)."""
    for rule in RULES:
        if rule.platform == platform and rule.applies(geometry):
            return rule.lowering
    return "native"


def is_native_everywhere(geometry: ConvGeometry) -> bool:
    """True if no platform has a lowering of ours for it, or if the native one is forced."""
    return _native_is_forced.get() or not any(rule.applies(geometry) for rule in RULES)


@contextmanager
def force_lowering(name: Literal["native"]) -> Iterator[None]:
    """Traces the convolutions within the block as plain `jax.lax.conv_general_dilated`.

    Affects what is traced inside; a function that `jax.jit` has already compiled is not traced again.

    Raises:
        ValueError: for any other name.
    """
    if name != "native":
        raise ValueError(f"lowering {name!r} cannot be forced; only 'native' fits every convolution")
    token = _native_is_forced.set(True)
    try:
        yield
    finally:
        _native_is_forced.reset(token)
