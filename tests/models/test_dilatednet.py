from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import zoo
from tests.quick import randomise
from zoo.analysis.cost import count_parameters
from zoo.blocks.context import ContextModule
from zoo.models.dilatednet import DilatedNet
from zoo.ops import force_lowering
from zoo.weights.name_map import name_maps, torch_tensors
from zoo.weights.safetensors import variables

TINY = {"small_images": True, "width": 0.02}


def abstract(**options):
    return nnx.eval_shape(lambda: DilatedNet(**options, rngs=nnx.Rngs(0)))


def test_dilation_replaces_the_last_two_strides():
    model = abstract()
    assert list(model.feature_strides.values()) == [1, 2, 4, 8, 8]
    assert [unit.conv.kernel_dilation for unit in model.body.stages[4]] == [2, 2, 2]
    fc6 = model.head.fc6.conv
    assert (fc6.kernel_size, fc6.kernel_dilation) == ((7, 7), 4)
    scores = nnx.eval_shape(lambda model: model.dense_logits(jnp.zeros((2, 64, 96, 3))), model)
    assert scores.shape == (2, 8, 12, 21)


def test_the_front_end_has_the_parameters_of_vgg_16():
    assert count_parameters(abstract(context=None, num_classes=1000)) == zoo.model_info("vgg16").parameters


def test_the_form_for_small_images_ends_with_conv4_and_has_a_context_module_that_fits_its_maps():
    model = abstract(**TINY)
    assert list(model.feature_strides.values()) == [1, 1, 2, 4]
    assert len(model.body.stages) == 4
    assert model.head.fc6.conv.kernel_size == (1, 1)
    assert [layer.kernel_dilation for layer in model.context.layers] == [1, 1, 2, 4, 8, 1]
    scores = nnx.eval_shape(lambda model: model.dense_logits(jnp.zeros((2, 64, 64, 3))), model)
    assert scores.shape == (2, 16, 16, 21)


@pytest.mark.parametrize(
    ("name", "layers"), [("dilation7_kitti", 7), ("dilation8_camvid", 8), ("dilation10_cityscapes", 10)]
)
def test_the_name_tells_how_many_layers_the_context_module_has(name, layers):
    model = nnx.eval_shape(lambda: zoo.create_model(name))
    assert len(model.context.layers) + 1 == layers


def test_scores_are_those_of_layers_that_do_not_pad_on_a_reflected_image():
    model = DilatedNet(3, context="large", dilations=(1, 2, 1), padding="reflect", norm=None, rngs=nnx.Rngs(0), **TINY)
    randomise(model)
    model.eval()
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 24, 19, 3)), jnp.float32)

    def layer(x, conv, norm=None, act=jax.nn.relu):
        x = lax.conv_general_dilated(
            x,
            conv.kernel[...],
            (1, 1),
            "VALID",
            rhs_dilation=(conv.kernel_dilation,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x if conv.bias is None else x + conv.bias[...]
        return act(x if norm is None else norm(x))

    @nnx.jit
    def unpadded(model, images):
        # What the layers take off: at stride 1 four times 1, at 2 three times 1, and at 4 three times 1.
        taken_off = 4 + 2 * 3 + 4 * 3
        x = jnp.pad(images, ((0, 0), (taken_off, taken_off), (taken_off, taken_off), (0, 0)), "reflect")
        x = layer(x, model.body.stem.conv, model.body.stem.norm)
        for stage in model.body.stages:
            for block in stage:
                if isinstance(block, nnx.Sequential):
                    pool, block = block.layers
                    x = pool(x)
                x = layer(x, block.conv, block.norm)
        for unit in (model.head.fc6, model.head.fc7):
            x = layer(x, unit.conv, unit.norm)
        x = layer(x, model.head.classify, act=lambda x: x)
        x = jnp.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
        for conv in model.context.layers:
            x = layer(x, conv)
        return layer(x, model.context.last, act=lambda x: x)

    with force_lowering("native"):
        expected = unpadded(model, images)
        scores = nnx.jit(lambda model, x: model.dense_logits(x))(model, images)
    assert scores.shape == expected.shape == (1, 6, 4, 3)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * expected.std())


def test_the_released_nets_see_186_pixels_around_a_score():
    """Up to a multiple of the stride."""
    assert abstract(padding="reflect").margin == 192
    assert abstract().margin == 0


@pytest.mark.parametrize("context", ["basic", "large"])
def test_new_classes_bring_a_context_module_of_their_size(context):
    def replaced():
        model = DilatedNet(context=context, rngs=nnx.Rngs(0), **TINY)
        model.reset_head(5)
        return model

    expected = nnx.eval_shape(lambda: ContextModule(5, form=context, dilations=(1, 1, 2, 4, 8, 1), rngs=nnx.Rngs(0)))
    model = nnx.eval_shape(replaced)
    assert model.num_classes == 5
    assert count_parameters(model.context) == count_parameters(expected)


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("dilatednet_frontend", {"body.stem.conv.kernel": "conv1_1.weight", "head.classify.bias": "fc-final.bias"}),
        ("dilatednet_large", {"context.layers.6.kernel": "ct_fc1.weight", "context.layers.2.bias": "ct_conv2_1.bias"}),
        (
            "dilation10_cityscapes",
            {
                "body.stages.4.2.conv.kernel": "conv5_3.weight",
                "body.stages.1.0.layers.1.conv.kernel": "conv2_1.weight",
                "head.fc6.conv.kernel": "fc6.weight",
                "head.classify.kernel": "final.weight",
                "context.layers.1.kernel": "ctx_conv1_2.weight",
                "context.layers.7.kernel": "ctx_conv7_1.weight",
                "context.layers.8.kernel": "ctx_fc1.weight",
                "context.last.kernel": "ctx_final.weight",
            },
        ),
    ],
)
def test_tensors_have_the_names_of_the_authors(name, some):
    model = nnx.eval_shape(lambda: zoo.create_model(name))
    tensors = torch_tensors(model, name_maps(model)["fyu/dilation"])
    assert tensors.keys() == variables(model).keys()
    assert {ours: tensors[ours].name for ours in some} == some


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match="form='huge' must be one of basic, large"):
        abstract(context="huge")
    with pytest.raises(ValueError, match="padding='same' must be 'zeros' or 'reflect'"):
        abstract(padding="same")


def test_the_scores_of_the_front_end_are_logits_to_train_with_too():
    model = zoo.create_model("dilatednet", num_classes=3, width=0.125, small_images=True)
    model.eval()
    images = jnp.ones((1, 33, 40, 3))
    logits, (auxiliary,) = nnx.jit(lambda model, x: model.logits_with_auxiliary(x))(model, images)
    assert logits.shape == auxiliary.shape == (1, 33, 40, 3)
    # A new context module is the ReLU of what it gets.
    scores = nnx.jit(lambda model, x: model._front_end(x))(model, images)
    np.testing.assert_allclose(auxiliary, model.upsample(scores, (33, 40)), atol=1e-6)
    np.testing.assert_allclose(logits, model.upsample(jnp.maximum(scores, 0), (33, 40)), atol=1e-6)
    alone = nnx.eval_shape(lambda: zoo.create_model("dilatednet_frontend", width=0.125, small_images=True))
    assert not alone.has_auxiliary
    with pytest.raises(ValueError, match="the model has no context module"):
        alone.logits_with_auxiliary(images)
