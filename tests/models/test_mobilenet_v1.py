from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import features_of
from zoo.analysis.cost import count_parameters
from zoo.blocks import DepthwiseSeparableConv
from zoo.models.mobilenet_v1 import MobileNetV1
from zoo.ops import force_lowering

IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((1, 64, 64, 3)), jnp.float32)


def test_it_has_28_layers():
    """As section 3.2 of the paper counts them: depthwise and pointwise convolutions as two, and the classifier."""
    model = nnx.eval_shape(lambda: zoo.create_model("mobilenet_v1"))
    blocks = [module for _, module in nnx.iter_modules(model) if isinstance(module, DepthwiseSeparableConv)]
    assert 1 + 2 * len(blocks) + 1 == 28


def test_almost_all_parameters_are_in_pointwise_convolutions():
    """Table 2 of the paper: 74.59 % there, 24.33 % in the classifier, 1.06 % in depthwise convolutions."""
    model = nnx.eval_shape(lambda: zoo.create_model("mobilenet_v1"))
    blocks = [block for stage in model.stages for block in stage]
    total = count_parameters(model)
    shares = (
        sum(count_parameters(block.pointwise.conv) for block in blocks) / total,
        count_parameters(model.head) / total,
        sum(count_parameters(block.depthwise.conv) for block in blocks) / total,
    )
    np.testing.assert_allclose(shares, (0.7459, 0.2433, 0.0106), rtol=0.01)


@pytest.mark.parametrize(("width", "channels"), [(0.25, 256), (0.75, 768), (1.4, 1432)])
def test_width_multiplies_the_last_layer_too(width, channels):
    assert nnx.eval_shape(lambda: MobileNetV1(width=width, rngs=nnx.Rngs(0))).num_features == channels


def test_output_stride_computes_the_same_at_more_places():
    """Where the strided net has a pixel, the dilated one has the same; away from the border, that is."""
    strided = MobileNetV1(width=0.25, rngs=nnx.Rngs(0))
    dilated = MobileNetV1(width=0.25, output_stride=8, rngs=nnx.Rngs(0))
    for model in (strided, dilated):
        model.eval()
    coarse, fine = (features_of(model, IMAGES)["stage5"] for model in (strided, dilated))
    assert dilated.feature_strides == {"stage1": 2, "stage2": 4, "stage3": 8, "stage4": 8, "stage5": 8}
    assert fine.shape[1:3] == (8, 8)
    np.testing.assert_allclose(fine[:, ::4, ::4], coarse, atol=1e-4)


def test_activations_are_clipped_at_6():
    model = MobileNetV1(width=0.25, small_images=True, rngs=nnx.Rngs(0))
    model.eval()  # new batch norms pass everything on
    with force_lowering("native"):
        assert model.stem(100 * IMAGES[:, :8, :8]).max() == 6


def test_a_bad_width_is_refused():
    with pytest.raises(ValueError, match="width=0 must be positive"):
        MobileNetV1(width=0, rngs=nnx.Rngs(0))
