from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.models.alexnet import AlexNet, local_response_norm


def abstract(**options):
    return nnx.eval_shape(lambda: AlexNet(**options, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(("grouped", "image_size"), [(False, 224), (True, 227)])
def test_the_last_map_is_6x6(grouped, image_size):
    images = jnp.zeros((1, image_size, image_size, 3))
    features = nnx.eval_shape(lambda model: model.features(images), abstract(grouped=grouped))
    assert {name: x.shape[1:3] for name, x in features.items()} == {"stage1": (13, 13), "stage2": (6, 6)}


def test_the_second_fourth_and_fifth_convolution_of_2012_have_two_groups():
    model = abstract(grouped=True)
    stage1, stage2 = model.stages
    units = [model.stem.layers[0], stage1[0].layers[0], stage2[0], stage2[1], stage2[2].layers[0]]
    assert [unit.conv.feature_group_count for unit in units] == [1, 2, 1, 2, 2]
    assert local_response_norm in model.stem.layers
    assert local_response_norm in stage1[0].layers


def test_dropout_is_between_the_hidden_layers_and_before_the_head():
    model = abstract(dropout=0.3)
    assert (model.hidden.dropout.rate, model.dropout.rate) == (0.3, 0.3)


def test_the_small_form_has_no_hidden_layers():
    model = nnx.eval_shape(lambda: zoo.create_model("alexnet", num_classes=10, small_images=True))
    assert model.hidden is None
    assert model.num_features == 256


def test_local_response_norm_divides_by_the_energy_of_five_channels():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 7)).astype(np.float32) * 100
    expected = np.empty_like(x)
    for channel in range(7):
        energy = (x[..., max(channel - 2, 0) : channel + 3] ** 2).sum(-1)
        expected[..., channel] = x[..., channel] / (2 + 1e-4 * energy) ** 0.75
    np.testing.assert_allclose(local_response_norm(jnp.asarray(x)), expected, rtol=1e-5)
