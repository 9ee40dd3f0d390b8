from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import features_of
from zoo.models.regnet import RegNet, quantized_widths


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


def test_widths_follow_the_papers_formula():
    """RegNetX-3.2GF: the paper gives its line and what stages of groups of 48 come of it."""
    stages = quantized_widths(25, 88, 26.31, 2.25)
    assert list(stages.values()) == [2, 6, 15, 2]
    assert [round(width / 48) * 48 for width in stages] == [96, 192, 432, 1008]
    assert all(width % 8 == 0 for width in stages)


def test_a_line_without_slope_is_one_stage():
    assert quantized_widths(5, 40, 0.0, 2.0) == {40: 5}


@pytest.mark.parametrize("options", [(0, 24, 36.0, 2.5), (13, 0, 36.0, 2.5), (13, 24, -1.0, 2.5), (13, 24, 36.0, 1.0)])
def test_a_line_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match="the slope at least 0 and the step above 1"):
        quantized_widths(*options)


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("regnet_x_400mf", (32, 64, 160, 400)),
        ("regnetx_004", (32, 64, 160, 384)),
        ("regnet_y_800mf", (64, 144, 320, 784)),
        ("regnety_008", (64, 128, 320, 768)),
    ],
)
def test_widths_half_way_between_multiples_of_the_group_go_as_in_the_net_of_that_name(name, widths):
    model = abstract(name)
    assert tuple(stage[-1].expand.conv.out_features for stage in model.stages) == widths
    assert {block.filter.conv.kernel.shape[2] for stage in model.stages for block in stage} == {16}


def test_only_regnet_y_squeezes_and_by_the_channels_of_the_blocks_input():
    first, second = abstract("regnet_y_400mf").stages[1][:2]
    assert first.squeeze_excite.reduce.kernel.shape == (1, 1, 104, 12)  # a quarter of 48
    assert second.squeeze_excite.reduce.kernel.shape == (1, 1, 104, 26)
    assert abstract("regnet_x_400mf").stages[1][0].squeeze_excite is None


def test_output_stride_computes_the_same_at_more_places():
    options = {"depths": (1, 1, 2, 2), "widths": (8, 16, 24, 32), "squeeze_ratio": None}
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 64, 64, 3)), jnp.float32)
    strided = RegNet(rngs=nnx.Rngs(0), **options)
    dilated = RegNet(output_stride=8, rngs=nnx.Rngs(0), **options)
    for model in (strided, dilated):
        model.eval()
    coarse, fine = (features_of(model, images)["stage4"] for model in (strided, dilated))
    np.testing.assert_allclose(fine[:, ::4, ::4], coarse, atol=1e-4)


def test_stages_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"depths=\(1, 2\) and widths=\(8,\) must have a number for each stage"):
        RegNet(depths=(1, 2), widths=(8,), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"group_width=16 must divide each of widths=\(24,\)"):
        RegNet(depths=(1,), widths=(24,), group_width=16, rngs=nnx.Rngs(0))
