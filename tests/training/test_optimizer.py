from __future__ import annotations

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tests.e2e.tiny_train import Tiny
from zoo.training.config import OptimizerConfig, OptimizerName
from zoo.training.optimizer import make_optimizer, make_schedule, resolve

OPTIMIZERS = get_args(OptimizerName)


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine():
    schedule = make_schedule(OptimizerConfig(learning_rate=0.4, warmup=0.2), 100)
    np.testing.assert_allclose([schedule(step) for step in (0, 10, 20, 60, 100)], [0, 0.2, 0.4, 0.2, 0], atol=1e-7)
    assert make_schedule(OptimizerConfig(learning_rate=0.4, warmup=0), 100)(0) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"schedule": "constant"}, [0.4, 0.4, 0.4, 0.4]),
        ({"schedule": "step", "decay_at": (0.5, 0.75), "decay_factor": 0.1}, [0.4, 0.04, 0.004, 0.004]),
        ({"schedule": "poly", "power": 0.9}, [0.4, 0.4 * (50 / 80) ** 0.9, 0.4 * (20 / 80) ** 0.9, 0]),
        ({"schedule": "cosine"}, [0.4, 0.2 * (1 + np.cos(np.pi * 30 / 80)), 0.2 * (1 + np.cos(np.pi * 60 / 80)), 0]),
    ],
)
def test_the_learning_rate_falls_as_the_schedule_says(options, rates):
    schedule = make_schedule(OptimizerConfig(learning_rate=0.4, warmup=0.2, **options), 100)
    np.testing.assert_allclose([schedule(step) for step in (0, 10)], [0, 0.2], atol=1e-7)
    np.testing.assert_allclose([schedule(step) for step in (20, 50, 80, 100)], rates, rtol=1e-5, atol=1e-7)


def test_decays_in_the_same_step_are_both_made():
    schedule = make_schedule(
        OptimizerConfig(learning_rate=1.0, warmup=0, schedule="step", decay_at=(0.5, 0.51), decay_factor=0.5), 10
    )
    np.testing.assert_allclose([schedule(step) for step in (4, 6)], [1, 0.25])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_has_defaults_of_its_own(name):
    usual = resolve(OptimizerConfig(name=name))
    assert usual.learning_rate > 0
    assert usual.weight_decay >= 0
    assert (name == "sgd") == (usual.learning_rate == 0.05)
    given = OptimizerConfig(name=name, learning_rate=0.3, weight_decay=0.2)
    assert resolve(given) == given


PARAMS = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}


def first_update(config: OptimizerConfig, gradient: float):
    optimizer = make_optimizer(config, optax.constant_schedule(0.1))
    gradients = {name: jnp.full_like(value, gradient) for name, value in PARAMS.items()}
    return optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_updates_of_the_body_are_smaller_by_a_factor(name):
    model = Tiny(3, small_images=True, rngs=nnx.Rngs(0))
    params = nnx.state(model, nnx.Param)
    gradients = nnx.map_state(lambda path, leaf: jnp.full_like(leaf[...], 0.01), params)
    schedule = optax.constant_schedule(0.1)

    def updates(config):
        optimizer = make_optimizer(config, schedule, model)
        return optimizer.update(gradients, optimizer.init(params), params)[0]

    plain = updates(OptimizerConfig(name=name))
    scaled = updates(OptimizerConfig(name=name, body_learning_rate_factor=0.125))
    np.testing.assert_array_equal(scaled["head"]["kernel"][...], plain["head"]["kernel"][...])
    conv = plain["stem"]["conv"]["kernel"][...]
    assert np.abs(conv).max() > 0
    np.testing.assert_allclose(scaled["stem"]["conv"]["kernel"][...], 0.125 * conv, rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_delayed_stays_at_first_and_then_learns_as_the_rest_does(name):
    model = Tiny(3, small_images=True, rngs=nnx.Rngs(0))
    start = nnx.state(model, nnx.Param)
    gradients = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.01), start)

    def steps(config):
        optimizer = make_optimizer(config, optax.constant_schedule(0.1), model, total_steps=4)
        params, state = start, optimizer.init(start)
        for _ in range(4):
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            yield updates["stem"]["conv"]["kernel"][...], updates["head"]["kernel"][...]

    plain = list(steps(OptimizerConfig(name=name, weight_decay=0)))
    delayed = list(steps(OptimizerConfig(name=name, weight_decay=0, delay={"stem.conv": 0.5})))
    for (kernel, head), (plain_kernel, plain_head), factor in zip(delayed, plain, (0, 0, 1, 1), strict=True):
        np.testing.assert_array_equal(head, plain_head)
        np.testing.assert_allclose(kernel, factor * plain_kernel, rtol=0.05 if name == "lamb" else 1e-6)
        assert np.abs(plain_kernel).max() > 0


def test_a_delay_is_of_a_part_of_the_model_and_of_a_known_number_of_steps():
    model, schedule = Tiny(3, small_images=True, rngs=nnx.Rngs(0)), optax.constant_schedule(0.1)
    with pytest.raises(ValueError, match=r"optimizer\.delay: 'stm' is no parameter of the model; nearest: stem"):
        make_optimizer(OptimizerConfig(delay={"stm": 0.5}), schedule, model, total_steps=4)
    with pytest.raises(ValueError, match=r"optimizer\.delay=\{'stem': 0\.5\} takes the model and the number of steps"):
        make_optimizer(OptimizerConfig(delay={"stem": 0.5}), schedule, model)


def test_a_factor_of_the_body_is_for_nets_whose_head_is_known():
    with pytest.raises(ValueError, match=r"Linear is neither a zoo\.ImageClassifier nor a zoo\.Segmenter"):
        make_optimizer(
            OptimizerConfig(body_learning_rate_factor=0.1),
            optax.constant_schedule(0.1),
            nnx.Linear(2, 2, rngs=nnx.Rngs(0)),
        )
