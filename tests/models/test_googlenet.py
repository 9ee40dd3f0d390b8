from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.analysis.cost import count_parameters
from zoo.models._pooling import max_pool_at_end
from zoo.models.googlenet import GoogLeNet
from zoo.ops import force_lowering

IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((1, 32, 32, 3)), jnp.float32)


@functools.cache
def abstract(**options) -> GoogLeNet:
    return nnx.eval_shape(lambda: zoo.create_model("googlenet", **options))


def test_with_auxiliary_heads_it_has_the_parameters_of_torchvision():
    assert count_parameters(abstract(auxiliary_heads=True)) == 13_004_888


def test_the_maps_have_the_sizes_of_the_papers_table():
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((1, 224, 224, 3))), abstract())
    assert [feature.shape[1:] for feature in features.values()] == [
        (56, 56, 192),
        (28, 28, 480),
        (14, 14, 832),
        (7, 7, 1024),
    ]


def test_auxiliary_heads_come_with_the_logits_of_the_model():
    model = GoogLeNet(num_classes=7, auxiliary_heads=True, small_images=True, rngs=nnx.Rngs(0))
    model.eval()

    @nnx.jit
    def compute(model):
        block_4d = model.features(IMAGES)["stage2"]
        for block in model.stages[2][:4]:
            block_4d = block(block_4d)
        return model.logits_with_auxiliary(IMAGES), model(IMAGES), model.auxiliary_heads[1](block_4d)

    with force_lowering("native"):
        (logits, auxiliary), expected_logits, expected_second = compute(model)
    assert [head.shape for head in auxiliary] == [(1, 7), (1, 7)]
    np.testing.assert_allclose(logits, expected_logits, atol=1e-5)
    np.testing.assert_allclose(auxiliary[1], expected_second, atol=1e-5)


def test_a_new_head_brings_new_auxiliary_heads():
    model = GoogLeNet(num_classes=7, auxiliary_heads=True, small_images=True, rngs=nnx.Rngs(0))
    model.reset_head(3)
    logits, auxiliary = nnx.eval_shape(lambda model: model.logits_with_auxiliary(IMAGES), model)
    assert [head.shape for head in (logits, *auxiliary)] == [(1, 3)] * 3


def test_without_auxiliary_heads_there_are_no_such_logits():
    with pytest.raises(ValueError, match="build it with auxiliary_heads=True"):
        abstract().logits_with_auxiliary(IMAGES)


@pytest.mark.parametrize(("size", "length", "expected"), [(3, 6, [2, 4, 5]), (3, 5, [2, 4]), (2, 5, [1, 3, 4])])
def test_pooling_pads_at_the_end_only(size, length, expected):
    rising = jnp.broadcast_to(jnp.arange(length, dtype=jnp.float32)[None, :, None, None], (1, length, length, 1))
    np.testing.assert_array_equal(max_pool_at_end(rising, size)[0, :, 0, 0], expected)
