"""A dense convolution, with both gradients as convolutions of the one form that XLA:CPU computes fast everywhere.

XLA rewrites a convolution to NHWC and HWIO operands, the form its fast kernels want, only outside of loops. Inside
one, as the loop over training steps is, the gradients that autodiff writes keep their own order of axes, and run in
scalar code. So they are written out here:

- input: a convolution with the kernel turned by 180° and its channels swapped; with strides, one for each phase.
- kernel: `dw[t] = Σ_o x[o·s + t·d - p] dy[o]` is a convolution over x as a batch of C examples of N channels with dy
  as its kernel, its dilation the stride and its stride the dilation. Summed over parts of the batch.

The transposed convolution is the input gradient, taken forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering import native
from zoo.ops.lowering.geometry import ConvGeometry
from zoo.ops.lowering.phases import Tap, interleave, phase_taps
from zoo.ops.parts import number_of_parts, sum_over_parts

_SMALLEST_PART = 8  # The examples of a part become the input channels of a convolution.


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    return f"groups={geometry.groups} must be 1" if geometry.groups > 1 else None


forward = native.forward


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    rows, columns = geometry.phase_size
    dilation = [d // gcd(d, stride) for d, stride in zip(geometry.dilation, geometry.strides, strict=True)]
    swapped = kernel.transpose(0, 1, 3, 2)

    def phase(vertical: list[Tap], horizontal: list[Tap]) -> jax.Array:
        if not vertical or not horizontal:
            return jnp.zeros((dy.shape[0], rows, columns, geometry.in_channels), dy.dtype)
        taps = swapped[_indices(vertical), _indices(horizontal)]
        padding = (_padding(vertical, rows, dy.shape[1]), _padding(horizontal, columns, dy.shape[2]))
        return _convolve(dy, taps, padding, dilation=dilation)

    phases = [[phase(v, h) for h in phase_taps(geometry, 1)] for v in phase_taps(geometry, 0)]
    return interleave(phases, geometry.input_size)


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    wide = jnp.promote_types(x.dtype, jnp.float32)
    padding = [
        (before, (kernel - 1) * dilation + (out - 1) * stride + 1 - size - before)
        for (before, _), kernel, dilation, out, stride, size in zip(
            geometry.padding, geometry.kernel_size, geometry.dilation, geometry.output_size, geometry.strides,
            geometry.input_size, strict=True
        )
    ]  # fmt: skip

    def gradient(x: jax.Array, dy: jax.Array) -> jax.Array:
        x, dy = x.astype(wide).transpose(3, 1, 2, 0), dy.astype(wide).transpose(1, 2, 0, 3)
        return _convolve(x, dy, padding, strides=geometry.dilation, dilation=geometry.strides)

    parts = number_of_parts(x.shape[0], smallest=_SMALLEST_PART)
    total = sum_over_parts(gradient, x, dy, parts=parts)
    return total.transpose(1, 2, 0, 3).astype(x.dtype)


def _convolve(
    x: jax.Array,
    kernel: jax.Array,
    padding: Sequence[tuple[int, int]],
    *,
    strides: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
) -> jax.Array:
    """A convolution in XLA's own form, which knows no negative padding."""
    if min(map(min, padding)) < 0:
        edges = [(before, after, 0) for before, after in padding]
        x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
        padding = ((0, 0), (0, 0))
    return lax.conv_general_dilated(
        x, kernel, strides, padding, rhs_dilation=dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _indices(taps: list[Tap]) -> slice:
    """The taps as a slice of the kernel: they are equally spaced, falling."""
    first, last = taps[0].tap, taps[-1].tap
    step = first - taps[1].tap if len(taps) > 1 else 1
    return slice(first, last - 1 if last else None, -step)


def _padding(taps: list[Tap], size: int, available: int) -> tuple[int, int]:
    """Padding that makes `size` outputs of a convolution over `available` pixels, the first reading `taps`."""
    return -taps[0].offset, taps[-1].offset + size - available
