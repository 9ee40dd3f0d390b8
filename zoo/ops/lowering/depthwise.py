"""A depthwise convolution as a sum of shifted, scaled copies of its input.

With one kernel per channel, `y[o] = Σ_t w[t] · x[o·s + t·d - p]` is a handful of multiply-adds per pixel on whole
channel vectors, which XLA fuses into one loop. Its gradients are of the same kind:

- input: for each of the s² phases (`zoo.ops.lowering.phases`) a shifted sum of dy with some of the taps.
- kernel: `dw[t] = Σ_o x[o·s + t·d - p] · dy[o]`. XLA:CPU writes a product to memory before it sums it, but not in
  a reduction of several operands at once: that is one loop over x and dy for all taps. It sums over one spatial axis
  only, so that channels stay the innermost, vectorised axis of a result that still has enough to share out between
  threads; what is left to sum is small. Parts of the batch stay in the cache between padding and summing.

A depth multiplier m > 1 repeats each input channel m times. Sums are in float32 at least.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.lowering.phases import edges_of_phases, sum_in_phases
from zoo.ops.lowering.taps import pad, shifted, tap_indices
from zoo.ops.parts import number_of_parts, sum_over_parts

_SMALL_MAP = 8  # pixels a side


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    if geometry.is_depthwise:
        return None
    return f"groups={geometry.groups} must be as many as channels={geometry.in_channels}"


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    padded = pad(_repeat_channels(_widen(x), geometry), geometry.padding)
    taps = _widen(kernel)[:, :, 0]
    total = sum(shifted(padded, i, j, geometry) * taps[i, j] for i, j in tap_indices(geometry))
    return jnp.asarray(total, x.dtype)


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    taps = _widen(kernel)[:, :, 0]
    padded = pad(_widen(dy), edges_of_phases(geometry))
    dx = sum_in_phases(padded, geometry, lambda pixels, i, j: pixels * taps[i, j])
    multiplier = geometry.out_channels // geometry.in_channels
    if multiplier > 1:
        dx = dx.reshape(*dx.shape[:3], geometry.in_channels, multiplier).sum(-1)
    return dx.astype(dy.dtype)


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    axis = 2 if min(dy.shape[1:3]) > _SMALL_MAP else 1

    def of_part(x: jax.Array, dy: jax.Array) -> jax.Array:
        # The barrier keeps the padding out of the loop, which would otherwise test for the border at every tap.
        padded = lax.optimization_barrier(pad(_repeat_channels(_widen(x), geometry), geometry.padding))
        wide_dy = _widen(dy)
        products = [shifted(padded, i, j, geometry) * wide_dy for i, j in tap_indices(geometry)]
        zero = jnp.zeros((), wide_dy.dtype)
        partial_sums = lax.reduce(products, [zero] * len(products), _add_each, (axis,))
        return jnp.stack([partial.sum(range(partial.ndim - 1)) for partial in partial_sums])

    gradient = sum_over_parts(of_part, x, dy, parts=number_of_parts(x.shape[0]))
    return gradient.reshape(geometry.kernel_shape).astype(x.dtype)


def _add_each(totals: Sequence[jax.Array], values: Sequence[jax.Array]) -> list[jax.Array]:
    return [total + value for total, value in zip(totals, values, strict=True)]


def _widen(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _repeat_channels(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    multiplier = geometry.out_channels // geometry.in_channels
    return x if multiplier == 1 else jnp.repeat(x, multiplier, axis=-1)
