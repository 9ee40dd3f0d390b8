from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from zoo.blocks.initializers import he_normal


def test_variance_is_2_over_fan_out():
    kernel = he_normal(jax.random.key(0), (3, 3, 64, 128))
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel.std(), math.sqrt(2 / (9 * 128)), rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0, atol=0.001)


def test_the_key_decides_and_only_the_key():
    draw = lambda seed: he_normal(jax.random.key(seed), (3, 3, 4, 8), jnp.bfloat16)  # noqa: E731
    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()
    np.testing.assert_array_equal(jax.jit(draw, static_argnums=0)(1), draw(1))


def test_vmap_draws_one_for_each_key():
    keys = jax.random.split(jax.random.key(0), 3)
    kernels = jax.vmap(lambda key: he_normal(key, (2, 4)))(keys)
    np.testing.assert_array_equal(kernels[1], he_normal(keys[1], (2, 4)))
