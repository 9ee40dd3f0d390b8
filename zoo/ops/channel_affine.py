"""The two maps that batch normalisation is made of, and that are each other's transpose.

`channel_affine(x, scale, shift)` scales and shifts every channel; `channel_sums(x, y)` gives Σ x·y and Σ y for every
channel. The first is linear in (scale, shift), the second in y, and as such they are transposes. So the statistics of
a batch are `channel_sums(x, x)`, and what autodiff makes of the normalisation needs one more `channel_sums`, of x and
the cotangent: one pass over memory each, and nothing to save but x.

As JAX primitives they keep that form under autodiff of any order and mode. On the CPU both sums are computed in one
reduction of two operands, which XLA fuses with what it sums; otherwise it would write the product x·y to memory. The
reduction is a loop over parts of the batch, because XLA fuses nothing across a loop's border: without it, whatever
makes y, such as all the taps of a depthwise convolution, would be computed a second time in the sum. A barrier in its
place is as fast with JAX 0.12, but half as fast with 0.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from zoo.ops.parts import number_of_parts, sum_over_parts
from zoo.ops.placement import is_placed_by_hand, sum_over_devices

_affine = Primitive("zoo_channel_affine")
_sums = Primitive("zoo_channel_sums")
_sums.multiple_results = True


def channel_affine(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """`x * scale + shift`, computed in the dtype of `scale` and given in that of `x`.

    Args:
        x: shape (..., C).
        scale: shape (C,), float32 or float64.
        shift: shape and dtype of `scale`.
    """
    if any(is_placed_by_hand(array) for array in (x, scale, shift)):
        return _compute_affine(x, scale, shift)
    return _affine.bind(x, scale, shift)


def channel_sums(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Σ x·y and Σ y over all axes but the last, both of shape (C,), summed and given in float32 at least.

    Args:
        x: shape (..., C), at least two axes.
        y: of the same shape.
    """
    if is_placed_by_hand(x) or is_placed_by_hand(y):
        products, totals = _compute_sums(x, y)
    else:
        products, totals = _sums.bind(x, y)
    return products, totals


def _compute_affine(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    return (x * scale + shift).astype(x.dtype)


def _compute_sums(x: jax.Array, y: jax.Array) -> list[jax.Array]:
    x, y = x.astype(_sum_dtype(x)), y.astype(_sum_dtype(x))
    axes = tuple(range(x.ndim - 1))
    return [(x * y).sum(axes), y.sum(axes)]


def _compute_sums_on_cpu(x: jax.Array, y: jax.Array) -> list[jax.Array]:
    def of_share(x: jax.Array, y: jax.Array) -> list[jax.Array]:
        return sum_over_parts(_reduce_together, x, y, parts=number_of_parts(x.shape[0]))

    return sum_over_devices(of_share, x, y)


def _reduce_together(x: jax.Array, y: jax.Array) -> list[jax.Array]:
    x, y = x.astype(_sum_dtype(x)), y.astype(_sum_dtype(x))
    zero = jnp.zeros((), x.dtype)
    # One inner axis only: the result must be large enough to be shared out between threads.
    sums = lax.reduce((x * y, y), (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), (max(0, x.ndim - 3),))
    return [partial_sum.sum(range(partial_sum.ndim - 1)) for partial_sum in sums]


def _sum_dtype(x: jax.Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


@_affine.def_abstract_eval
def _affine_type(x: Any, scale: Any, shift: Any) -> Any:
    return jax.core.ShapedArray(x.shape, x.dtype)


@_sums.def_abstract_eval
def _sums_type(x: Any, y: Any) -> Any:
    total = jax.core.ShapedArray(x.shape[-1:], _sum_dtype(x))
    return total, total


@cache
def _compiled(primitive: Primitive) -> Any:
    return jax.jit(primitive.bind)


_affine.def_impl(lambda *operands: _compiled(_affine)(*operands))
_sums.def_impl(lambda *operands: _compiled(_sums)(*operands))

mlir.register_lowering(_affine, mlir.lower_fun(_compute_affine, multiple_results=False))
mlir.register_lowering(_sums, mlir.lower_fun(_compute_sums, multiple_results=True))
mlir.register_lowering(_sums, mlir.lower_fun(_compute_sums_on_cpu, multiple_results=True), platform="cpu")


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, ad.Zero)


def _affine_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    x, scale, shift = primals
    dx, dscale, dshift = tangents
    terms = []
    if not _is_zero(dx):
        terms.append((dx * scale).astype(x.dtype))
    if not (_is_zero(dscale) and _is_zero(dshift)):
        terms.append(_affine.bind(x, ad.instantiate_zeros(dscale), ad.instantiate_zeros(dshift)))
    return _affine.bind(x, scale, shift), sum(terms[1:], terms[0])


def _affine_transpose(cotangent: Any, x: Any, scale: Any, shift: Any) -> list[Any]:
    dscale, dshift = _sums.bind(x, cotangent)
    return [None, dscale.astype(scale.aval.dtype), dshift.astype(shift.aval.dtype)]


def _sums_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (x, y), (dx, dy) = primals, tangents
    products, totals = [], []
    if not _is_zero(dx):
        products.append(_sums.bind(dx, y)[0])
    if not _is_zero(dy):
        product, total = _sums.bind(x, dy)
        products.append(product)
        totals.append(total)
    zero = jnp.zeros(x.shape[-1:], _sum_dtype(x))
    return _sums.bind(x, y), [sum(products, zero), sum(totals, zero)]


def _sums_transpose(cotangents: Sequence[Any], x: Any, y: Any) -> list[Any]:
    dproducts, dtotals = map(ad.instantiate_zeros, cotangents)
    if ad.is_undefined_primal(x):
        return [(y * dproducts).astype(x.aval.dtype), None]
    return [None, _affine.bind(x, dproducts, dtotals).astype(y.aval.dtype)]


ad.primitive_jvps[_affine] = _affine_jvp
ad.primitive_transposes[_affine] = _affine_transpose
ad.primitive_jvps[_sums] = _sums_jvp
ad.primitive_transposes[_sums] = _sums_transpose


def _batch(compute: Any, operands: Sequence[Any], axes: Sequence[int | None]) -> tuple[Any, Any]:
    results = jax.vmap(compute, axes)(*operands)
    return results, jax.tree.map(lambda _: 0, results)


batching.primitive_batchers[_affine] = partial(_batch, _compute_affine)
batching.primitive_batchers[_sums] = partial(_batch, _compute_sums)
