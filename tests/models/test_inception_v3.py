from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.analysis.cost import count_parameters
from zoo.blocks import BatchNorm
from zoo.models.inception_v3 import InceptionV3
from zoo.ops import force_lowering

IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((1, 32, 32, 3)), jnp.float32)


@functools.cache
def abstract(**options) -> InceptionV3:
    return nnx.eval_shape(lambda: zoo.create_model("inception_v3", **options))


def test_with_its_auxiliary_head_it_has_the_parameters_of_torchvision():
    model = abstract(auxiliary_heads=True)
    assert count_parameters(model) == 27_161_264
    _, (auxiliary,) = nnx.eval_shape(lambda model: model.logits_with_auxiliary(jnp.zeros((1, 299, 299, 3))), model)
    assert auxiliary.shape == (1, 1000)


def test_the_maps_have_the_sizes_of_the_papers_table():
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((1, 299, 299, 3))), abstract())
    assert [feature.shape[1:] for feature in features.values()] == [
        (71, 71, 192),
        (35, 35, 288),
        (17, 17, 768),
        (8, 8, 2048),
    ]


def test_the_auxiliary_head_classifies_the_third_stage_and_follows_a_new_head():
    model = InceptionV3(num_classes=7, auxiliary_heads=True, small_images=True, rngs=nnx.Rngs(0))
    model.reset_head(3)
    model.eval()

    @nnx.jit
    def compute(model):
        expected = model.auxiliary_heads[0](model.features(IMAGES)["stage3"])
        return model.logits_with_auxiliary(IMAGES), model(IMAGES), expected

    with force_lowering("native"):
        (logits, (auxiliary,)), expected_logits, expected_auxiliary = compute(model)
    assert logits.shape == auxiliary.shape == (1, 3)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-5)
    np.testing.assert_allclose(auxiliary, expected_auxiliary, atol=1e-5)


def test_without_auxiliary_head_there_are_no_such_logits():
    with pytest.raises(ValueError, match="build it with auxiliary_heads=True"):
        abstract().logits_with_auxiliary(IMAGES)


def test_batch_norm_has_the_epsilon_of_the_public_weights():
    norms = [module for _, module in nnx.iter_modules(abstract()) if isinstance(module, BatchNorm)]
    assert len(norms) == 94
    assert {norm.epsilon for norm in norms} == {1e-3}
