from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import features_of
from zoo.models import MobileNetV2

IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((1, 64, 64, 3)), jnp.float32)


def test_last_layer_is_narrowed_by_no_width_below_1():
    assert nnx.eval_shape(lambda: MobileNetV2(width=0.35, rngs=nnx.Rngs(0))).num_features == 1280
    assert nnx.eval_shape(lambda: MobileNetV2(width=1.4, rngs=nnx.Rngs(0))).num_features == 1792


def test_the_small_form_has_the_parameters_of_public_cifar_10_nets():
    model = nnx.eval_shape(lambda: zoo.create_model("mobilenet_v2", num_classes=10, small_images=True))
    from zoo.analysis.cost import count_macs, count_parameters

    assert count_parameters(model) == 2_236_682
    assert round(count_macs(model, (32, 32, 3)) / 1e6) == 88


@pytest.mark.parametrize("output_stride", [8, 16])
def test_output_stride_computes_the_same_at_more_places(output_stride):
    """Where the strided net has a pixel, the dilated one has the same; away from the border, that is."""
    strided = MobileNetV2(width=0.35, rngs=nnx.Rngs(0))
    dilated = MobileNetV2(width=0.35, output_stride=output_stride, rngs=nnx.Rngs(0))
    for model in (strided, dilated):
        model.eval()
    coarse, fine = (features_of(model, IMAGES)["stage5"] for model in (strided, dilated))
    assert dilated.feature_strides["stage5"] == output_stride
    assert fine.shape[1] == 64 // output_stride
    step = 32 // output_stride
    np.testing.assert_allclose(fine[:, ::step, ::step], coarse, atol=1e-4)


def test_a_bad_output_stride_is_refused():
    with pytest.raises(ValueError, match="output_stride=12 must be a power of two"):
        MobileNetV2(output_stride=12, rngs=nnx.Rngs(0))


def test_drop_path_grows_from_0_at_the_first_block():
    model = nnx.eval_shape(lambda: MobileNetV2(drop_path=0.2, rngs=nnx.Rngs(0)))
    rates = [block.drop_path.rate for stage in model.stages for block in stage]
    np.testing.assert_allclose(rates, np.linspace(0, 0.2, 17))
