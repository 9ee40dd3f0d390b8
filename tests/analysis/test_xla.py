from __future__ import annotations

import jax.numpy as jnp
import pytest
from flax import nnx

from zoo.analysis.xla import xla_cost


def test_a_matrix_product_costs_what_it_must():
    layer = nnx.eval_shape(lambda: nnx.Linear(64, 32, use_bias=False, rngs=nnx.Rngs(0)))
    cost = xla_cost(layer, (64,), batch_size=8)
    assert cost.flops == pytest.approx(2 * 8 * 64 * 32, rel=0.01)
    assert cost.argument_bytes == 4 * (64 * 32 + 8 * 64)
    assert cost.output_bytes == 4 * 8 * 32
    assert cost.bytes_accessed >= cost.argument_bytes + cost.output_bytes


def test_what_lies_between_is_temporary():
    class Wide(nnx.Module):
        def __call__(self, x):
            return jnp.sort(jnp.tile(x, (1, 1000)), axis=1).sum(1)

    assert xla_cost(Wide(), (10,)).temporary_bytes >= 4 * 10_000


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        xla_cost(nnx.Linear(1, 1, rngs=nnx.Rngs(0)), (1,), batch_size=0)
