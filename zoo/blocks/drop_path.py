"""Stochastic depth."""

from __future__ import annotations

import math
from typing import Any

import jax
from flax import nnx


class DropPath(nnx.Dropout):
    """Drops a whole residual branch per example (stochastic depth, 1603.09382): any (N, ...) to the same shape.

    In training each example's branch is set to zero with probability `rate`, otherwise divided by `1 - rate`; in
    evaluation it passes as it is.

    Args:
        rate: probability of dropping, from 0 up to but not including 1.
        rngs: gives the `dropout` key.

    Raises:
        ValueError: if `rate` is out of range, or the input is a scalar.
    """

    def __init__(self, rate: float, *, rngs: nnx.Rngs) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate} must be at least 0 and below 1")
        super().__init__(rate, broadcast_dims=(1,), rngs=rngs if rate > 0 else None)

    def __call__(self, inputs: jax.Array, **options: Any) -> jax.Array:
        if inputs.ndim == 0:
            raise ValueError("a scalar has no axis of examples to drop along")
        given = options.get("deterministic")
        if self.rate == 0 or (self.deterministic if given is None else given):
            return inputs  # without the reshapes, which an exported program would keep
        examples, *rest = inputs.shape
        return super().__call__(inputs.reshape(examples, math.prod(rest)), **options).reshape(inputs.shape)
