from __future__ import annotations

import jax.numpy as jnp
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks import BatchNorm
from zoo.models.vgg import VGG16


def abstract(**options):
    return nnx.eval_shape(lambda: VGG16(**options, rngs=nnx.Rngs(0)))


def test_features_are_the_maps_before_each_pooling():
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((1, 224, 224, 3))), abstract())
    assert [x.shape[1:] for x in features.values()] == [
        (224, 224, 64),
        (112, 112, 128),
        (56, 56, 256),
        (28, 28, 512),
        (14, 14, 512),
    ]


def test_it_takes_images_of_other_sizes():
    logits = nnx.eval_shape(lambda model: model(jnp.zeros((2, 96, 128, 3))), abstract())
    assert logits.shape == (2, 1000)


def test_with_batch_norm_it_has_torchvisions_parameters_but_for_useless_biases():
    assert count_parameters(abstract(norm=BatchNorm)) == 138_365_992 - 4224


def test_the_small_form_has_the_same_convolutions_with_batch_norm_and_one_linear_layer():
    model = abstract(num_classes=10, small_images=True)
    assert count_parameters(model) == 14_714_688 + 4224 + 512 * 10 + 10  # a scale and an offset for each of 4224 biases


def test_with_batch_norm_it_has_the_names_of_torchvisions_vgg16_bn():
    names = abstract(num_classes=10, small_images=True).torch_names()["torchvision"].layers
    assert names["stem"] == "features.[0,1]"
    assert names["stages.1.0.layers.1"] == "features.[7,8]"
    assert names["stages.4.2"] == "features.[40,41]"


def test_output_stride_replaces_poolings_by_dilation():
    model = abstract(output_stride=8, num_classes=0)
    assert list(model.feature_strides.values()) == [1, 2, 4, 8, 8]
    assert [unit.conv.kernel_dilation for unit in model.stages[4]] == [2, 2, 2]
    assert len(abstract().stages[4][0].layers) == 2


def test_larger_poolings_round_sizes_up_and_stay_where_dilation_replaces_their_stride():
    model = abstract(output_stride=8, pool_size=3)
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((1, 321, 321, 3))), model)
    assert [x.shape[1] for x in features.values()] == [321, 161, 81, 41, 41]
    pool, unit = model.stages[4][0].layers
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    assert pool(x)[0, :, :, 0].tolist() == [[4, 5, 5], [7, 8, 8], [7, 8, 8]]
    assert unit.conv.kernel_dilation == 2
    with pytest.raises(ValueError, match="pool_size=4 must be 2 or 3"):
        abstract(pool_size=4)
