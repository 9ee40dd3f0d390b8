from __future__ import annotations

from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks.flattened import FlattenedConv
from zoo.models.flattened_net import FlattenedNet


def abstract(**options):
    return nnx.eval_shape(lambda: FlattenedNet(**options, rngs=nnx.Rngs(0)))


def test_it_has_two_flattened_convolutions_a_layer_and_no_others():
    channels = [
        (module.lateral.in_features, module.lateral.out_features)
        for _, module in nnx.iter_modules(abstract())
        if isinstance(module, FlattenedConv)
    ]
    assert sorted(channels) == [(3, 96), (96, 96), (96, 128), (128, 128), (128, 256), (256, 256)]


def test_it_has_a_fraction_of_the_weights_of_dense_convolutions():
    dense = 25 * (3 * 96 + 96 * 96 + 96 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
    assert count_parameters(abstract()) < dense / 20


def test_without_norms_every_filter_has_a_bias():
    biases = 2 * 3 * (96 + 128 + 256)
    norms = 2 * (96 + 128 + 256)
    assert count_parameters(abstract(norm=None)) == count_parameters(abstract()) - norms + biases
