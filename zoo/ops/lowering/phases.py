"""Which taps of a kernel reach which pixels of a strided convolution's input.

`y[o] = Σ_t w[t] x[o·s + t·d - p]` reads pixel `u` with tap `t` at `o = (u + p - t·d) / s` where that is whole. The
pixels `u = s·q + a` of one phase `a` all meet the same taps, at `o = q + offset` each, so every phase of the input
gradient is a convolution at stride 1 with some of the taps, and the s² phases interleave to the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry


class Tap(NamedTuple):
    tap: int
    offset: int


def phase_taps(geometry: ConvGeometry, axis: int) -> list[list[Tap]]:
    """For every phase of a spatial axis the taps that reach it, by rising offset (falling tap)."""
    stride, dilation, padding = geometry.strides[axis], geometry.dilation[axis], geometry.padding[axis][0]

    def taps(phase: int) -> list[Tap]:
        falling = range(geometry.kernel_size[axis] - 1, -1, -1)
        distances = [(tap, phase + padding - tap * dilation) for tap in falling]
        return [Tap(tap, distance // stride) for tap, distance in distances if distance % stride == 0]

    return [taps(phase) for phase in range(stride)]


def interleave(phases: list[list[jax.Array]], size: tuple[int, int]) -> jax.Array:
    """Maps (N, H/s, W/s, C) of the phases [vertical][horizontal] as one map, cropped to (N, H, W, C)."""
    stride_h, stride_w = len(phases), len(phases[0])
    examples, rows, columns, channels = phases[0][0].shape
    whole = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)
    return whole.reshape(examples, rows * stride_h, columns * stride_w, channels)[:, : size[0], : size[1]]


def edges_of_phases(geometry: ConvGeometry) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)): how far what the phases read reaches beyond a map of the output's size."""
    vertical, horizontal = (
        _reach(phase_taps(geometry, axis), geometry.phase_size[axis], geometry.output_size[axis]) for axis in (0, 1)
    )
    return vertical, horizontal


def _reach(phases: list[list[Tap]], size: int, available: int) -> tuple[int, int]:
    """How far the slices of all phases, of `size` pixels each, reach beyond the `available` ones on either side."""
    offsets = [offset for taps in phases for _, offset in taps] or [0]
    return max(0, -min(offsets)), max(0, max(offsets) + size - available)


def sum_in_phases(
    padded: jax.Array, geometry: ConvGeometry, term: Callable[[jax.Array, int, int], jax.Array]
) -> jax.Array:
    """(N, H, W, C) of the input's size: each pixel is the sum of a term for each tap that reaches it.

    Args:
        padded: maps of the output's size, with `edges_of_phases` around them.
        geometry: of the convolution.
        term: of the pixels of `padded` that a tap meets, and the tap's row and column in the kernel.
    """
    (rows, columns), ((top, _), (left, _)) = geometry.phase_size, edges_of_phases(geometry)
    examples, *_, channels = padded.shape

    def phase_sum(vertical: list[Tap], horizontal: list[Tap]) -> jax.Array:
        terms = [
            term(
                lax.slice(
                    padded,
                    (0, row + top, column + left, 0),
                    (examples, row + top + rows, column + left + columns, channels),
                ),
                i,
                j,
            )
            for i, row in vertical
            for j, column in horizontal
        ]
        return sum(terms, zero)

    one = jax.ShapeDtypeStruct((examples, rows, columns, channels), padded.dtype)
    like = jax.eval_shape(lambda pixels: term(pixels, 0, 0), one)
    zero = jnp.zeros(like.shape, like.dtype)
    phases = [[phase_sum(v, h) for h in phase_taps(geometry, 1)] for v in phase_taps(geometry, 0)]
    return interleave(phases, geometry.input_size)
