from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from zoo.training.config import OptimizerConfig
from zoo.training.optimizer import make_optimizer, make_schedule


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine():
    schedule = make_schedule(OptimizerConfig(learning_rate=0.4, warmup=0.2), 100)
    np.testing.assert_allclose([schedule(step) for step in (0, 10, 20, 60, 100)], [0, 0.2, 0.4, 0.2, 0], atol=1e-7)
    assert make_schedule(OptimizerConfig(learning_rate=0.4, warmup=0), 100)(0) == pytest.approx(0.4)


PARAMS = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}


def first_update(config: OptimizerConfig, gradient: float):
    optimizer = make_optimizer(config, optax.constant_schedule(0.1))
    gradients = {name: jnp.full_like(value, gradient) for name, value in PARAMS.items()}
    return optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_falls_on_kernels_only(name):
    updates = first_update(OptimizerConfig(name=name, weight_decay=0.5), 0.0)
    assert (updates["kernel"] < 0).all()
    np.testing.assert_array_equal(updates["bias"], 0)


def test_sgd_has_nesterov_momentum():
    updates = first_update(OptimizerConfig(weight_decay=0, momentum=0.9), 1.0)
    np.testing.assert_allclose(updates["bias"], -0.1 * (1 + 0.9), rtol=1e-6)


def test_gradients_are_clipped_to_their_global_norm():
    updates = first_update(OptimizerConfig(weight_decay=0, momentum=0, gradient_clip=1.0), 1.0)
    total = np.sqrt(sum((update**2).sum() for update in updates.values()))
    np.testing.assert_allclose(total, 0.1, rtol=1e-5)
