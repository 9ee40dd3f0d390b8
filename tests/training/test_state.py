from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import pytest


def test_a_state_is_finite_at_first(make_trainer):
    _, state = make_trainer(ema_decay=0.9)
    assert state.first_non_finite() is None


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_bad_number_is_found_and_its_array_named(bad, make_trainer):
    _, state = make_trainer(ema_decay=0.9)
    state.batch_stats["conv"]["norm"]["var"][...] = jnp.ones(8).at[5].set(bad)
    assert state.first_non_finite() == "batch_stats.conv.norm.var"


def test_the_average_and_the_optimizer_count_as_well(make_trainer):
    _, state = make_trainer(ema_decay=0.9)
    assert replace(state, optimizer={"trace": jnp.array([jnp.nan])}).first_non_finite() == "optimizer.trace"
    assert replace(state, average=(jnp.array(jnp.inf), ())).first_non_finite() == "average.0"
