from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.models._pooling import global_average_pool
from zoo.models.mobilenet_v4 import MobileNetV4
from zoo.ops import force_lowering

IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((2, 32, 32, 3)), jnp.float32)


def abstract(**options):
    return nnx.eval_shape(lambda: MobileNetV4(rngs=nnx.Rngs(0), **options))


def test_the_last_convolution_comes_behind_the_pooling():
    model = MobileNetV4(small_images=True, rngs=nnx.Rngs(0))
    model.eval()
    with force_lowering("native"):
        embedding = model.embed(IMAGES)
        means = global_average_pool(model.last(model.features(IMAGES)["stage4"]))
    layer = model.after_pooling
    np.testing.assert_allclose(embedding, layer.act(layer.norm(means @ layer.conv.kernel[0, 0])), atol=1e-5)
    assert embedding.shape == (2, 1280)


@pytest.mark.parametrize(
    ("size", "depths", "channels"),
    [("small", (2, 2, 6, 6), 128), ("medium", (1, 2, 8, 11), 256), ("large", (1, 2, 11, 13), 512)],
)
def test_stages_are_as_deep_as_in_the_paper(size, depths, channels):
    model = abstract(size=size)
    assert tuple(map(len, model.stages)) == depths
    assert model.last.conv.in_features == channels


def test_output_stride_dilates_the_last_stage():
    model = abstract(output_stride=16)
    assert list(model.feature_strides.values()) == [4, 8, 16, 16]
    first, second, *_ = model.stages[3]
    assert (first.middle.conv.kernel_dilation, second.start.conv.kernel_dilation) == (1, 2)


def test_drop_path_grows_from_0_at_the_first_block():
    model = abstract(size="medium", drop_path=0.21)
    rates = [block.drop_path.rate for stage in model.stages for block in stage]
    np.testing.assert_allclose(rates, np.linspace(0, 0.21, 22))


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="size='tiny' is not one of the paper's: small, medium, large"):
        abstract(size="tiny")
