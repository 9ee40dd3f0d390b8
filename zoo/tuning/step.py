"""`Step`: what is tuned, and the convolutions in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jax.extend.core import Jaxpr

from zoo.analysis.cost import inner_jaxprs
from zoo.ops.lowering.geometry import Problem


@dataclass(frozen=True)
class Step:
    """A training step, or a prediction.

    Attributes:
        is_training: whether it is run in a loop of many steps a dispatch.
        convolutions: what its convolutions and their gradients compute -> how often, on each device.
        compile: compiles it with the lowerings in use; gives a function that runs it and gives the seconds of one step.
    """

    is_training: bool
    convolutions: Mapping[Problem, int]
    compile: Callable[[], Callable[[], float]]

    @property
    def fingerprint(self) -> str:
        """The same for steps of the same convolutions."""
        described = sorted(f"{count} {problem}" for problem, count in self.convolutions.items())
        return hashlib.sha256("\n".join([str(self.is_training), *described]).encode()).hexdigest()[:16]


def convolutions_of(jaxpr: Jaxpr, devices: int = 1) -> Counter[Problem]:
    """The convolutions of a program that have lowerings to choose from, and how often each is computed.

    Args:
        jaxpr: the program, as it is traced.
        devices: over which the examples are split; a device's share of them is what counts.
    """
    found: Counter[Problem] = Counter()
    for problem, count in _convolutions(jaxpr):
        batch = problem.batch // devices if problem.batch % devices == 0 else problem.batch
        found[problem._replace(batch=batch)] += count
    return found


def _convolutions(jaxpr: Jaxpr) -> Iterator[tuple[Problem, int]]:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "zoo_convolution":
            parameters: dict[str, Any] = equation.params
            operand: Any = equation.invars[0].aval
            if parameters["forced"] is None:
                problem = Problem(parameters["geometry"], parameters["direction"], operand.shape[0], operand.dtype)
                yield problem, 1
            continue
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for inside in inner_jaxprs(equation.params.values()):
            for problem, count in _convolutions(inside):
                yield problem, repeats * count
