from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import SqueezeExcite

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 5, 8)), jnp.float32)


def test_scales_each_channel_by_a_gate_of_the_means():
    block = SqueezeExcite(8, 2, gate=jax.nn.hard_sigmoid, rngs=nnx.Rngs(0))
    hidden = jax.nn.relu(X.mean((1, 2)) @ block.reduce.kernel[0, 0] + block.reduce.bias[...])
    gates = jax.nn.hard_sigmoid(hidden @ block.expand.kernel[0, 0] + block.expand.bias[...])
    np.testing.assert_allclose(block(X), X * gates[:, None, None], atol=1e-6)


def test_keeps_a_narrow_dtype():
    assert SqueezeExcite(8, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_a_bad_width_is_refused():
    with pytest.raises(ValueError, match="squeeze_channels=0 must be at least 1"):
        SqueezeExcite(8, 0, rngs=nnx.Rngs(0))
