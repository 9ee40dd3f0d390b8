"""A depthwise convolution as a Pallas kernel, which Mosaic compiles for TPUs and Triton for GPUs.

The sums are those of `zoo.ops.lowering.depthwise`, but the map whose pixels the taps share is read into fast memory
once. A program of the grid has an example and up to 128 of its channels, and works row by row. Maps are padded before,
and the s² phases of a strided one, every s-th pixel, taken apart, so that programs know neither borders nor strides:

- forward: a pixel is the sum of taps times pixels.
- input gradient: the same with the kernel turned by 180°, of dy with s - 1 zeros between its pixels.
- kernel gradient: a tap is the sum of products over the map. What examples give is added up outside.

Triton asks for powers of two, so output columns and channels are padded to these; Mosaic for blocks that are whole in
the last two axes or multiples of (8, 128). Sums are in float32 at least. On a CPU programs are interpreted: for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from zoo.ops.lowering.geometry import ConvGeometry

_MOST_CHANNELS = 128  # of a program: as many as a TPU has lanes
_MOST_PIXELS = 12_000  # of a program: twice them, with 128 channels in float32, are 12.3 of the 16 MB that it has


class _Term(NamedTuple):
    """A tap and the pixels it meets: of a phase of the map, so many rows and columns from the output's."""

    tap: int
    phase: int
    row: int
    column: int


def obstacle(geometry: ConvGeometry) -> str | None:
    """What keeps it from computing a convolution; None where it fits."""
    channels = geometry.in_channels
    if not geometry.groups == channels == geometry.out_channels:
        return f"groups={geometry.groups} and out_channels={geometry.out_channels} must be as many as {channels=}"
    pixels = max(map(_pixels, (geometry, _adjoint(geometry))))
    return f"its {pixels} pixels, padded, must be at most {_MOST_PIXELS}" if pixels > _MOST_PIXELS else None


def forward(x: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    maps, terms, wide = _phase_maps(x, geometry), _terms(geometry), _wide(x)
    (rows, columns), width = geometry.output_size, _output_width(geometry)
    taps = _pad_channels(kernel.astype(wide).reshape(1, len(terms), -1))

    def program(maps: Any, taps: Any, y: Any) -> None:
        def set_row(row: jax.Array, _: None) -> None:
            pixels = [maps[t.phase, row + t.row, t.column : t.column + width].astype(wide) for t in terms]
            products = [taps[t.tap : t.tap + 1] * some for t, some in zip(terms, pixels, strict=True)]
            y[row] = sum(products[1:], products[0]).astype(y.dtype)

        lax.fori_loop(0, rows, set_row, None)

    y = _run(program, jax.ShapeDtypeStruct((x.shape[0], rows, width, maps.shape[-1]), x.dtype), maps, taps)
    return y[:, :, :columns, : geometry.out_channels]


def input_gradient(dy: jax.Array, kernel: jax.Array, geometry: ConvGeometry) -> jax.Array:
    vertical, horizontal = ((0, 0, stride - 1) for stride in geometry.strides)
    spread = lax.pad(dy, jnp.zeros((), dy.dtype), ((0, 0, 0), vertical, horizontal, (0, 0, 0)))
    return forward(spread, kernel[::-1, ::-1], _adjoint(geometry))


def kernel_gradient(x: jax.Array, dy: jax.Array, geometry: ConvGeometry) -> jax.Array:
    maps, terms, wide = _phase_maps(x, geometry), _terms(geometry), _wide(x)
    (rows, columns), width = geometry.output_size, _output_width(geometry)
    dy = _pad_channels(jnp.pad(dy, ((0, 0), (0, 0), (0, width - columns), (0, 0))))

    def program(maps: Any, dy: Any, gradient: Any) -> None:
        def add_row(row: jax.Array, sums: list[jax.Array]) -> list[jax.Array]:
            pixels = [maps[t.phase, row + t.row, t.column : t.column + width].astype(wide) for t in terms]
            products = [some * dy[row].astype(wide) for some in pixels]
            return [total + product.sum(0, keepdims=True) for total, product in zip(sums, products, strict=True)]

        zeros = [jnp.zeros((1, gradient.shape[1]), wide)] * len(terms)
        for term, total in zip(terms, lax.fori_loop(0, rows, add_row, zeros), strict=True):
            gradient[term.tap : term.tap + 1] = total

    result = jax.ShapeDtypeStruct((x.shape[0], len(terms), maps.shape[-1]), wide)
    total = _run(program, result, maps, dy).sum(0)[:, : geometry.out_channels]
    return total.reshape(geometry.kernel_shape).astype(x.dtype)


def _run(program: Callable[..., None], result: jax.ShapeDtypeStruct, *operands: jax.Array) -> jax.Array:
    """Runs a program for each example and block of channels; an operand may be one for all examples."""
    from jax.experimental import pallas as pl  # slow to import, and seldom needed
    from jax.experimental.pallas import triton

    if 0 in result.shape:
        return jnp.zeros(result.shape, result.dtype)  # The interpreter would read a block that is not there.
    channels = min(result.shape[-1], _MOST_CHANNELS)

    def block(array: jax.Array | jax.ShapeDtypeStruct) -> pl.BlockSpec:
        *inner, _ = array.shape[1:]
        return pl.BlockSpec(
            (None, *inner, channels),
            lambda example, number: (0 if array.shape[0] == 1 else example, *[0] * len(inner), number),
        )

    def call(**options: Any) -> Callable[..., jax.Array]:
        grid = (result.shape[0], result.shape[-1] // channels)
        inputs = [block(operand) for operand in operands]
        return pl.pallas_call(program, result, grid=grid, in_specs=inputs, out_specs=block(result), **options)

    on_gpu = call(compiler_params=triton.CompilerParams())
    return lax.platform_dependent(*operands, cpu=call(interpret=True), cuda=on_gpu, rocm=on_gpu, default=call())


def _adjoint(geometry: ConvGeometry) -> ConvGeometry:
    """The convolution of dy, with zeros between its pixels, that is the input gradient."""
    height, width = (
        (size - 1) * stride + 1 for size, stride in zip(geometry.output_size, geometry.strides, strict=True)
    )
    reach = [(taps - 1) * d for taps, d in zip(geometry.kernel_size, geometry.dilation, strict=True)]
    (top, bottom), (left, right) = (
        (extent - before, size - there + before)
        for size, there, extent, (before, _) in zip(
            geometry.input_size, (height, width), reach, geometry.padding, strict=True
        )
    )
    return replace(geometry, input_size=(height, width), strides=(1, 1), padding=((top, bottom), (left, right)))


def _terms(geometry: ConvGeometry) -> list[_Term]:
    """What each output pixel of the convolution is the sum of."""
    (height, width), (down, across) = geometry.kernel_size, geometry.strides
    rows = [divmod(i * geometry.dilation[0], down) for i in range(height)]
    columns = [divmod(j * geometry.dilation[1], across) for j in range(width)]
    return [
        _Term(i * width + j, row_phase * across + column_phase, row, column)
        for i, (row, row_phase) in enumerate(rows)
        for j, (column, column_phase) in enumerate(columns)
    ]


def _output_width(geometry: ConvGeometry) -> int:
    """Columns of the output, padded to a power of two."""
    return 1 << (geometry.output_size[1] - 1).bit_length()


def _phase_size(geometry: ConvGeometry) -> tuple[int, int]:
    """(rows, columns) of each phase of the padded input, as far as it is read."""
    *_, last = _terms(geometry)  # It has the largest distances.
    return geometry.output_size[0] + last.row, _output_width(geometry) + last.column


def _pixels(geometry: ConvGeometry) -> int:
    """Of the input and of the output, as padded."""
    rows, columns = _phase_size(geometry)
    return geometry.phases * rows * columns + geometry.output_size[0] * _output_width(geometry)


def _phase_maps(x: jax.Array, geometry: ConvGeometry) -> jax.Array:
    """(N, H, W, C) -> (N, s², H', W', C'): the input, padded, with its phases taken apart."""
    (rows, columns), (down, across) = _phase_size(geometry), geometry.strides
    (top, _), (left, _) = geometry.padding
    edges = ((top, rows * down - top - x.shape[1], 0), (left, columns * across - left - x.shape[2], 0))
    x = _pad_channels(lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0))))
    x = x.reshape(x.shape[0], rows, down, columns, across, x.shape[3]).transpose(0, 2, 4, 1, 3, 5)
    return x.reshape(x.shape[0], down * across, rows, columns, x.shape[5])


def _pad_channels(x: jax.Array) -> jax.Array:
    """(..., C) -> (..., C'), to a power of two or whole blocks."""
    channels = x.shape[-1]
    block = min(1 << (channels - 1).bit_length(), _MOST_CHANNELS)
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -channels % block)])


def _wide(x: jax.Array) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)
