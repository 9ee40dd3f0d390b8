from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import features_of
from zoo.analysis.cost import count_parameters
from zoo.blocks import BasicBlock, Bottleneck, Conv, ConvNormAct
from zoo.models.drn import DRN
from zoo.models.resnet import ResNet


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


def dilations(model) -> list[set[int]]:
    """Of the 3×3 convolutions of each stage."""
    convs = [[layer for _, layer in nnx.iter_modules(stage) if isinstance(layer, Conv)] for stage in model.stages]
    return [{conv.kernel_dilation for conv in stage if conv.kernel_size == (3, 3)} for stage in convs]


@pytest.mark.parametrize("name", ["drn_c_26", "drn_d_54"])
def test_dilation_grows_for_lost_strides_and_goes_back_to_1(name):
    model = abstract(name)
    assert list(model.feature_strides.values()) == [1, 2, 4, 8, 8, 8, 8, 8]
    assert dilations(model) == [{1}, {1}, {1}, {1}, {2}, {4}, {2}, {1}]
    assert model.num_features == 512


def test_the_32x32_form_dilates_by_no_more_than_its_maps_can_use():
    model = abstract("drn_d_22", small_images=True)
    assert dilations(model) == [{1}, {1}, {1}, {1}, {2}, {2}, {2}, {1}]
    assert count_parameters(model) == zoo.model_info("drn_d_22").parameters


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("drn_c_26", [BasicBlock] * 6 + [ConvNormAct] * 2),
        ("drn_c_58", [BasicBlock] * 2 + [Bottleneck] * 4 + [ConvNormAct] * 2),
        ("drn_d_54", [ConvNormAct] * 2 + [Bottleneck] * 4 + [ConvNormAct] * 2),
    ],
)
def test_the_ends_are_residual_blocks_or_plain_convolutions(name, kinds):
    assert [type(stage[0]) for stage in abstract(name).stages] == kinds


@pytest.mark.parametrize("name", zoo.list_models("drn_[cd]_*", task="classification"))
def test_the_name_tells_how_many_layers_it_has(name):
    """Convolutions but for those of shortcuts, and the classifier."""
    model = abstract(name)
    blocks = [block for stage in model.stages for block in stage]
    depth = {BasicBlock: 2, Bottleneck: 3, ConvNormAct: 1}
    assert 1 + sum(depth[type(block)] for block in blocks) + 1 == int(name.split("_")[-1])


@pytest.mark.parametrize("name", ["drn_a_18", "drn_a_50"])
def test_form_a_is_resnet_at_more_places(name):
    options = {"depths": (1, 1, 1, 2), "bottleneck": name == "drn_a_50", "width": 0.125}
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 64, 64, 3)), jnp.float32)
    strided = ResNet(rngs=nnx.Rngs(0), **options)
    dilated = zoo.create_model(name, **options)
    for model in (strided, dilated):
        model.eval()
    coarse, fine = (features_of(model, images)["stage4"] for model in (strided, dilated))
    assert fine.shape[1:3] == (8, 8)
    np.testing.assert_allclose(fine[:, ::4, ::4], coarse, atol=1e-4)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="form='A' must be 'C' or 'D'; form A is ResNet with output_stride=8"):
        DRN(form="A", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"depths=\(2, 2\) must have a number for each of stages 3 to 6"):
        DRN(depths=(2, 2), rngs=nnx.Rngs(0))
