from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import output_of, randomise
from zoo.analysis.cost import count_parameters

DENSE_SIZES = {  # of the logits before they are enlarged to 97×129
    "fcn_resnet50": (13, 17),
    "deeplab_v3_mobilenet_v3_large": (7, 9),
    "lraspp_mobilenet_v3_large": (13, 17),
    "dilatednet": (12, 16),
    "drn_d_22_seg": (13, 17),
    "deeplab_v2_vgg16": (13, 17),
    "deeplab_v3_plus_mobilenet_v2": (25, 33),
}
every_family = pytest.mark.parametrize("name", DENSE_SIZES)


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


@every_family
def test_logits_have_the_size_of_the_image(name):
    model = abstract(name, num_classes=5)
    images = jax.ShapeDtypeStruct((2, 97, 129, 3), jnp.float32)
    logits = nnx.eval_shape(lambda model, x: model(x), model, images)
    assert (logits.shape, logits.dtype) == ((2, 97, 129, 5), jnp.float32)
    dense = nnx.eval_shape(lambda model, x: model.dense_logits(x), model, images)
    assert (dense.shape, dense.dtype) == ((2, *DENSE_SIZES[name], 5), jnp.float32)


@every_family
def test_the_small_form_labels_64x64_on_maps_of_stride_8_or_less_and_takes_other_classes(name):
    def replaced():
        model = zoo.create_model(name, num_classes=5, small_images=True, width=0.25)
        model.reset_head(3)
        return model

    model = nnx.eval_shape(replaced)
    assert model.num_classes == 3
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    assert nnx.eval_shape(lambda model, x: model(x), model, images).shape == (2, 64, 64, 3)
    dense = nnx.eval_shape(lambda model, x: model.dense_logits(x), model, images)
    assert dense.shape[1] in (8, 16, 32)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fcn_resnet50", 35_322_218),
        ("fcn_resnet101", 54_314_346),
        ("deeplab_v3_resnet50", 42_004_074),
        ("deeplab_v3_resnet101", 60_996_202),
        ("deeplab_v3_mobilenet_v3_large", 11_029_328),
    ],
)
def test_auxiliary_heads_have_the_parameters_of_torchvision(name, parameters):
    assert count_parameters(abstract(name, auxiliary_heads=True)) == parameters


def test_auxiliary_logits_have_the_size_of_the_image():
    model = abstract("deeplab_v3_mobilenet_v3_large", auxiliary_heads=True, num_classes=5)
    logits, (auxiliary,) = nnx.eval_shape(lambda model: model.logits_with_auxiliary(jnp.zeros((1, 65, 81, 3))), model)
    assert logits.shape == auxiliary.shape == (1, 65, 81, 5)
    with pytest.raises(ValueError, match="the model has no auxiliary heads"):
        abstract("fcn_resnet50").logits_with_auxiliary(jnp.zeros((1, 64, 64, 3)))


def test_a_new_head_is_for_other_classes_and_keeps_the_body():
    model = zoo.create_model("lraspp_mobilenet_v3_large", width=0.25, small_images=True)
    randomise(model)
    before = model.body.stem.conv.kernel[...]
    model.reset_head(3)
    assert model.num_classes == 3
    np.testing.assert_array_equal(model.body.stem.conv.kernel[...], before)
    model.eval()
    assert output_of(model, jnp.ones((1, 33, 40, 3))).shape == (1, 33, 40, 3)


def test_a_body_that_is_no_chain_of_stages_and_a_net_without_a_head_are_refused():
    with pytest.raises(ValueError, match="num_classes=0 must be at least 1"):
        abstract("fcn_resnet50", num_classes=0)
    with pytest.raises(ValueError, match="form='own' must be 'paper' or 'torchvision'"):
        abstract("deeplab_v3_resnet50", form="own")


def test_the_first_block_of_a_dilated_stage_follows_torchvision_where_asked():
    def dilations(**options):
        stage = abstract("mobilenet_v3_large", output_stride=16, **options).stages[-1]
        return [block.depthwise.conv.kernel_dilation for block in stage]

    assert dilations() == [1, 2, 2]
    assert dilations(dilates_first=True) == [2, 2, 2]
