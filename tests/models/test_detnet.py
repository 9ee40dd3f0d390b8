from __future__ import annotations

import jax.numpy as jnp
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import Conv
from zoo.models.detnet import DetNet
from zoo.models.resnet import ResNet


def abstract(**options) -> DetNet:
    return nnx.eval_shape(lambda: DetNet(**options, rngs=nnx.Rngs(0)))


def dilations(model: DetNet) -> list[list[int]]:
    return [[block.filter.conv.kernel_dilation for block in stage] for stage in model.stages]


def test_it_begins_as_resnet_50():
    model = abstract()
    resnet = nnx.eval_shape(lambda: ResNet(depths=(3, 4, 6, 3), bottleneck=True, rngs=nnx.Rngs(0)))
    for ours, theirs in ((model.stem, resnet.stem), *zip(model.stages[:3], resnet.stages[:3], strict=True)):
        assert count_parameters(ours) == count_parameters(theirs)


def test_it_goes_on_at_stride_16_with_stages_that_begin_with_a_projection():
    """Figure 2: block B, whose shortcut is a convolution, then two blocks A, all dilated by 2."""
    model = abstract()
    assert list(model.feature_strides.values()) == [4, 8, 16, 16, 16]
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((1, 64, 64, 3))), model)
    assert {features[stage].shape for stage in ("stage3", "stage4", "stage5")} == {(1, 4, 4, 1024)}
    assert dilations(model)[3:] == [[2, 2, 2], [2, 2, 2]]
    for stage in model.stages:
        assert [block.shortcut is not None for block in stage] == [True] + [False] * (len(stage) - 1)


def test_it_has_59_layers():
    """Without the shortcuts, with the classifier."""
    model = abstract()
    convs = [module for _, module in nnx.iter_modules(model) if isinstance(module, Conv)]
    assert len(convs) - len(model.stages) + 1 == 59


def test_output_stride_dilates_what_is_dilated_already_by_more():
    model = abstract(output_stride=8)
    assert list(model.feature_strides.values()) == [4, 8, 8, 8, 8]
    assert dilations(model)[2:] == [[1, 2, 2, 2, 2, 2], [4, 4, 4], [4, 4, 4]]


def test_the_32x32_form_keeps_the_pooling():
    model = abstract(small_images=True)
    assert list(model.feature_strides.values()) == [2, 4, 8, 8, 8]
    assert model.stem.layers[0].conv.kernel_size == (3, 3)
