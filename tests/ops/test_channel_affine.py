from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.ops import channel_affine, channel_sums


def plain_affine(x, scale, shift):
    return x * scale + shift


def plain_sums(x, y):
    axes = tuple(range(x.ndim - 1))
    return (x * y).sum(axes), y.sum(axes)


def normalise(affine, sums):
    """Batch normalisation and a nonlinearity, as a scalar of (x, scale, shift)."""

    def function(x, scale, shift):
        squares, total = sums(x, x)
        mean = total * (scale.size / x.size)
        factor = scale / jnp.sqrt(squares * (scale.size / x.size) - mean**2 + 0.1)
        return jnp.sin(affine(x, factor, shift - mean * factor)).sum()

    return function


@pytest.fixture(params=[(3, 4, 5, 6), (7, 6), (2, 5, 6)], ids=str)
def operands(request, float64):
    random = np.random.default_rng(0)
    channels = request.param[-1]
    return tuple(jnp.asarray(random.standard_normal(shape)) for shape in (request.param, channels, channels))


def assert_close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_values(operands):
    x = operands[0]
    assert_close(channel_affine(*operands), plain_affine(*operands))
    assert_close(channel_sums(x, jnp.cos(x)), plain_sums(x, jnp.cos(x)))


def test_derivatives_of_first_and_second_order_and_both_modes(operands):
    ours, plain = normalise(channel_affine, channel_sums), normalise(plain_affine, plain_sums)
    every = (0, 1, 2)
    assert_close(jax.value_and_grad(ours, every)(*operands), jax.value_and_grad(plain, every)(*operands))
    direction = jax.tree.map(jnp.cos, operands)

    def products(function):
        gradient = jax.grad(function, every)
        forward_over_reverse = jax.jvp(gradient, operands, direction)[1]
        along = lambda *point: sum(map(jnp.vdot, gradient(*point), direction))  # noqa: E731
        return forward_over_reverse, jax.grad(along, every)(*operands)

    assert_close(products(ours), products(plain))


def test_vmap(operands):
    x, scale, shift = operands
    batched = (jnp.stack([x, 2 * x]), scale, jnp.stack([shift, -shift]))
    for transform in (lambda f: f, lambda f: jax.grad(f, (0, 1, 2))):
        ours, theirs = (
            jax.vmap(transform(normalise(*maps)), (0, None, 0))(*batched)
            for maps in ((channel_affine, channel_sums), (plain_affine, plain_sums))
        )
        assert_close(ours, theirs)


def test_bfloat16_is_summed_in_float32():
    x = jnp.ones((64, 32, 32, 2), jnp.bfloat16)
    products, totals = channel_sums(x, x)
    assert products.dtype == totals.dtype == jnp.float32
    np.testing.assert_array_equal(totals, [65536, 65536])
    assert channel_affine(x, jnp.ones(2), jnp.ones(2)).dtype == jnp.bfloat16
    gradient = jax.grad(lambda x: channel_affine(x, jnp.ones(2), jnp.ones(2)).astype(jnp.float32).sum())(x)
    assert gradient.dtype == jnp.bfloat16
