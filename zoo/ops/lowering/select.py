"""Which lowering a convolution gets: one forced by name, one measured on the device, or that of the first rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, cast, get_args

import jax

from zoo.lowering_names import LoweringName
from zoo.ops.lowering import (
    dense,
    depthwise,
    depthwise_pallas,
    grouped,
    im2col,
    measured,
    native,
    pointwise,
    winograd,
)
from zoo.ops.lowering.geometry import ConvGeometry, Direction, Problem
from zoo.ops.lowering.super_groups import SuperGroups


class Lowering(Protocol):
    """What a module or an object must have to be a lowering: a function for each direction, and where they hold.

    Each direction is a function of its two operands (`zoo.ops.lowering.primitive.convolve`) and the geometry.
    """

    def obstacle(self, geometry: ConvGeometry) -> str | None: ...
    def forward(self, x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array: ...
    def input_gradient(self, dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array: ...
    def kernel_gradient(self, x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array: ...


LOWERINGS: dict[LoweringName, Lowering] = {
    "native": native,
    "depthwise": depthwise,
    "depthwise_pallas": depthwise_pallas,
    "grouped": grouped,
    "grouped_32": SuperGroups(32),
    "grouped_64": SuperGroups(64),
    "grouped_128": SuperGroups(128),
    "pointwise": pointwise,
    "winograd": winograd,
    "im2col": im2col,
    "dense": dense,
}

FOR_ACCELERATORS: frozenset[LoweringName] = frozenset({"depthwise_pallas", "grouped_32", "grouped_64", "grouped_128"})
"""What is hopeless on a CPU: kernels that it interprets, and gradients that XLA:CPU computes group by group."""


class Choice(NamedTuple):
    """A lowering, and the reason for it."""

    lowering: LoweringName
    reason: str


class Rule(NamedTuple):
    """Gives `choice` to what is computed in one of `directions` on one of `platforms`, where `applies` holds.

    Platforms are named as in `jax.export`: "cpu", "cuda", "rocm", "tpu".
    """

    platforms: tuple[str, ...]
    directions: tuple[Direction, ...]
    applies: Callable[[Problem], bool]
    choice: Choice


ANY_DIRECTION: tuple[Direction, ...] = get_args(Direction)

# Each phase and each tap adds operations to the program. These bounds admit what real nets have (stems of stride 4,
# kernels of 11×11) and keep everything else from taking many times as long to compile as it takes XLA.
MOST_PHASES = 16
MOST_TAPS = 121

FEWEST_WINOGRAD_CHANNELS = 32  # of a group, on either side; 16 lose, and so do the 3 of a stem

RULES: tuple[Rule, ...] = (
    Rule(
        ("cpu",),
        ("input_gradient",),
        lambda problem: (
            problem.geometry.phases > MOST_PHASES
            and not (problem.geometry.groups == 1 and problem.geometry.is_pointwise)
        ),
        Choice("native", f"more than {MOST_PHASES} phases, strides multiplied, would take long to compile"),
    ),
    Rule(
        ("cpu",),
        ANY_DIRECTION,
        lambda problem: (
            problem.geometry.groups > 1 and problem.geometry.is_depthwise and problem.geometry.taps <= MOST_TAPS
        ),
        Choice("depthwise", "XLA:CPU loops over channels; see `depthwise` in docs/performance.md"),
    ),
    Rule(
        ("cpu",),
        ANY_DIRECTION,
        # float32 only: other dtypes were not measured, and bfloat16 would be computed in float32.
        lambda problem: (
            problem.dtype == "float32"
            and winograd.obstacle(problem.geometry) is None
            and min(problem.geometry.group_channels) >= FEWEST_WINOGRAD_CHANNELS
            and winograd.pays(problem.geometry, problem.batch, problem.dtype)
        ),
        Choice("winograd", "a quarter of the multiplications; see `winograd` in docs/performance.md"),
    ),
    Rule(
        ("cpu",),
        ANY_DIRECTION,
        lambda problem: problem.geometry.groups > 1,
        Choice("grouped", "XLA:CPU computes gradients group by group; see `grouped` in docs/performance.md"),
    ),
    Rule(
        ("cpu",),
        ANY_DIRECTION,
        lambda problem: problem.geometry.is_pointwise,
        Choice("pointwise", "the kernel is a matrix; see `pointwise` in docs/performance.md"),
    ),
    Rule(
        ("cpu",),
        ANY_DIRECTION,
        lambda problem: (
            im2col.obstacle(problem.geometry) is None
            and problem.geometry.taps <= MOST_TAPS
            and im2col.pays(problem.geometry, problem.direction, problem.batch, problem.dtype)
        ),
        Choice("im2col", "one matrix product is faster than XLA:CPU's own; see `im2col` in docs/performance.md"),
    ),
    Rule(
        ("cpu",),
        ANY_DIRECTION,
        lambda problem: True,
        Choice("dense", "XLA:CPU runs gradients in scalar code within loops; see `dense` in docs/performance.md"),
    ),
)

_UNMEASURED = Choice("native", "no lowering of ours was measured to win on this platform")

_forced = jax.make_user_context(None)  # the name of a lowering; part of the key of JAX's caches


def select(problem: Problem, platform: str, forced: LoweringName | None = None) -> Choice:
    """The lowering of a computation on a platform ("cpu", "cuda", "tpu", ...).

    Args:
        problem: what is computed.
        platform: where.
        forced: the lowering to take wherever it fits; None for one that was measured to be the fastest, see
            `zoo.ops.lowering.measured`, or else that of the first rule that applies.
    """
    if forced is not None:
        obstacle = LOWERINGS[forced].obstacle(problem.geometry)
        return (
            Choice(forced, "forced") if obstacle is None else Choice("native", f"{forced!r} is forced, but {obstacle}")
        )
    table = measured.measurements_in_use(platform, LOWERINGS)
    measurement = None if table is None else table.find(problem)
    if measurement is not None and measurement.chosen is not None:
        fastest = cast("LoweringName", measurement.chosen)
        if LOWERINGS[fastest].obstacle(problem.geometry) is None:
            return Choice(fastest, measurement.reason)
    for rule in RULES:
        if platform in rule.platforms and problem.direction in rule.directions and rule.applies(problem):
            return rule.choice
    return _UNMEASURED


def forced_lowering() -> LoweringName | None:
    """The lowering that the innermost `force_lowering` names; None outside of any."""
    name: LoweringName | None = _forced.value
    return name


@contextmanager
def force_lowering(name: LoweringName) -> Iterator[None]:
    """Forces one lowering on the convolutions that are traced within the block, and on their gradients.

    It is taken on every platform and in every direction, whatever the rules say. A convolution that it does not fit is
    left to XLA's own lowering; `zoo.ops.explain` tells which, and why. "native" fits all of them: each is then traced
    as plain `jax.lax.conv_general_dilated`.

    What `jax.jit` has compiled outside of the block is compiled anew within it, and the other way round.

    Raises:
        ValueError: if there is no such lowering.
    """
    if name not in LOWERINGS:
        raise ValueError(f"unknown lowering {name!r}; there are {', '.join(LOWERINGS)}")
    with _forced(name):
        yield
