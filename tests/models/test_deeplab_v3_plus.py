from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.models.deeplab_v3_plus import DeepLabV3PlusHead
from zoo.ops import resize_bilinear


def abstract(**options):
    return nnx.eval_shape(lambda: zoo.create_model("deeplab_v3_plus_resnet50", **options))


def test_the_head_joins_the_enlarged_pyramid_with_the_finer_map():
    head = DeepLabV3PlusHead(6, 5, 3, rates=(1, 2), dropout=0.0, rngs=nnx.Rngs(0))
    head.eval()
    random = np.random.default_rng(0)
    low, high = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in ((1, 8, 7, 6), (1, 4, 4, 5)))
    x = jnp.concatenate([resize_bilinear(head.aspp(high), (8, 7)), head.low(low)], axis=-1)
    assert x.shape == (1, 8, 7, 256 + 48)
    expected = head.classify(head.refine[1](head.refine[0](x)))
    np.testing.assert_allclose(head(low, high), expected, atol=1e-5)


def test_the_finer_map_is_the_last_of_its_stride():
    assert abstract().head.low.conv.in_features == 256
    small = abstract(small_images=True)
    assert small.head.low.conv.in_features == 512
    assert [branch.conv.kernel_dilation for branch in small.head.aspp.pyramid] == [1, 2, 3]


@pytest.mark.parametrize(("output_stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
def test_rates_follow_the_output_stride(output_stride, rates):
    pyramid = abstract(output_stride=output_stride).head.aspp.pyramid
    assert [branch.conv.kernel_dilation for branch in pyramid] == rates


def test_forms_differ_in_the_body():
    grids = {}
    for form in ("paper", "torchvision"):
        model = abstract(form=form)
        *_, last = model.body.stages
        grids[form] = [block.filter.conv.kernel_dilation for block in last]
        assert (model.body.torch_names() == {}) == (form == "paper")
    assert grids == {"paper": [2, 4, 8], "torchvision": [1, 2, 2]}
    with pytest.raises(ValueError, match="form='own' must be 'paper' or 'torchvision'"):
        abstract(form="own")
