from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.analysis.cost import count_parameters
from zoo.blocks.context import ContextModule
from zoo.models.dilatednet import DilatedNet
from zoo.ops import force_lowering


def abstract(**options):
    return nnx.eval_shape(lambda: DilatedNet(**options, rngs=nnx.Rngs(0)))


def test_dilation_replaces_the_last_two_strides():
    model = abstract()
    assert list(model.feature_strides.values()) == [1, 2, 4, 8, 8]
    assert [unit.conv.kernel_dilation for unit in model.stages[4]] == [2, 2, 2]
    fc6 = model.last.layers[0].conv
    assert (fc6.kernel_size, fc6.kernel_dilation) == ((7, 7), 4)
    scores = nnx.eval_shape(lambda model: model.dense_logits(jnp.zeros((2, 64, 96, 3))), model)
    assert scores.shape == (2, 8, 12, 21)


def test_the_front_end_has_the_parameters_of_vgg_16():
    assert count_parameters(abstract(context=None, num_classes=1000)) == zoo.model_info("vgg16").parameters


def test_an_image_is_classified_by_the_average_of_its_map():
    model = DilatedNet(3, small_images=True, rngs=nnx.Rngs(0))
    model.eval()
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 32, 32, 3)), jnp.float32)

    @nnx.jit
    def evaluate(model, images):
        *_, x = model.features(images).values()
        return model(images), model.dense_logits(images), model.head(model.last(x))

    with force_lowering("native"):
        logits, scores, front_end_scores = evaluate(model, images)
    assert scores.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(logits, scores.mean((1, 2)), atol=1e-5)
    # a new context module passes on what is positive
    np.testing.assert_allclose(scores, jnp.maximum(front_end_scores, 0), atol=1e-5)


@pytest.mark.parametrize("context", ["basic", "large"])
def test_a_new_head_brings_a_context_module_of_its_size(context):
    def replaced():
        model = DilatedNet(context=context, small_images=True, rngs=nnx.Rngs(0))
        model.reset_head(5)
        return model

    expected = nnx.eval_shape(lambda: ContextModule(5, form=context, rngs=nnx.Rngs(0)))
    assert count_parameters(nnx.eval_shape(replaced).context) == count_parameters(expected)


def test_an_unknown_context_is_refused():
    with pytest.raises(ValueError, match="form='huge' must be one of basic, large"):
        abstract(context="huge")
