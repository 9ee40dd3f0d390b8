"""Which lowering a convolution gets: the rules, first match wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

from zoo.ops.lowering.geometry import ConvGeometry

LoweringName = Literal["native", "depthwise", "grouped", "pointwise", "dense"]

_native_is_forced: ContextVar[bool] = ContextVar("native is forced", default=False)


class Choice(NamedTuple):
    """A lowering, and the reason for it."""

    lowering: LoweringName
    reason: str


class Rule(NamedTuple):
    platform: str
    applies: Callable[[ConvGeometry], bool]
    choice: Choice


RULES = (
    Rule(
        "cpu",
        lambda geometry: geometry.groups > 1 and geometry.is_depthwise,
        Choice("depthwise", "XLA:CPU loops over channels; see `depthwise` in docs/performance.md"),
    ),
    Rule(
        "cpu",
        lambda geometry: geometry.groups > 1,
        Choice("grouped", "XLA:CPU computes gradients group by group; see `grouped` in docs/performance.md"),
    ),
    Rule(
        "cpu",
        lambda geometry: geometry.is_pointwise,
        Choice("pointwise", "the kernel is a matrix; see `pointwise` in docs/performance.md"),
    ),
    Rule(
        "cpu",
        lambda geometry: True,
        Choice("dense", "XLA:CPU runs gradients in scalar code within loops; see `dense` in docs/performance.md"),
    ),
)

_UNMEASURED = Choice("native", "no lowering of ours was measured to win on this platform")


def select(geometry: ConvGeometry, platform: str) -> Choice:
    """The lowering of a convolution on a platform ("cpu", "cuda", "tpu", ...)."""
    for rule in RULES:
        if rule.platform == platform and rule.applies(geometry):
            return rule.choice
    return _UNMEASURED


def is_native_forced() -> bool:
    """True within `force_lowering("native")`."""
    return _native_is_forced.get()


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
