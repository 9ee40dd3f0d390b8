from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import BatchNorm


@pytest.mark.parametrize("training", [True, False])
def test_agrees_with_flax_in_value_gradient_and_statistics(training):
    x = jnp.asarray(np.random.default_rng(0).normal(2, 3, (4, 5, 5, 6)), jnp.float32)
    ours, theirs = BatchNorm(6, rngs=nnx.Rngs(0)), nnx.BatchNorm(6, momentum=0.9, rngs=nnx.Rngs(0))
    results = []
    for norm in (ours, theirs):
        norm.scale[...] = jnp.arange(1.0, 7)
        norm.bias[...] = jnp.arange(-3.0, 3)
        norm.train() if training else norm.eval()
        graph, state = nnx.split(norm)

        def loss(state, x, graph=graph):
            norm = nnx.merge(graph, state, copy=True)
            y = norm(x)
            return jnp.sin(y).sum(), (y, nnx.state(norm, nnx.BatchStat))

        gradients, outputs = jax.grad(loss, (0, 1), has_aux=True)(state, x)
        results.append(jax.tree.leaves((nnx.filter_state(gradients[0], nnx.Param), gradients[1], outputs)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def test_bfloat16_keeps_float32_statistics():
    norm = BatchNorm(3, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert norm(jnp.ones((2, 3, 3, 3))).dtype == jnp.bfloat16
    assert norm.mean.dtype == jnp.float32
    np.testing.assert_allclose(norm.mean[...], 0.1, rtol=1e-6)
