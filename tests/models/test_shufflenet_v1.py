from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.quick import features_of
from zoo.models.shufflenet_v1 import ShuffleNetV1


def abstract(**options):
    return nnx.eval_shape(lambda: ShuffleNetV1(rngs=nnx.Rngs(0), **options))


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_only_the_first_convolution_of_the_first_unit_has_no_groups(groups):
    (first, second, *_), *_ = abstract(groups=groups).stages
    assert first.reduce.conv.feature_group_count == 1
    assert {unit.conv.feature_group_count for unit in (first.expand, second.reduce, second.expand)} == {groups}


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 1.5, 2.0])
def test_every_width_can_be_split_into_every_number_of_groups(width, groups):
    assert abstract(width=width, groups=groups).num_features == pytest.approx(
        width * {1: 576, 2: 800, 3: 960, 4: 1088, 8: 1536}[groups], rel=0.06
    )


def test_output_stride_computes_the_same_at_more_places():
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 64, 64, 3)), jnp.float32)
    strided = ShuffleNetV1(width=0.25, rngs=nnx.Rngs(0))
    dilated = ShuffleNetV1(width=0.25, output_stride=8, rngs=nnx.Rngs(0))
    for model in (strided, dilated):
        model.eval()
    coarse, fine = (features_of(model, images)["stage3"] for model in (strided, dilated))
    assert fine.shape[1] == 8
    np.testing.assert_allclose(fine[:, ::4, ::4], coarse, atol=1e-4)


def test_what_the_paper_has_not_is_refused():
    with pytest.raises(ValueError, match=r"width=0\.75 is not one of the paper's: 0\.25, 0\.5, 1\.0, 1\.5, 2\.0"):
        abstract(width=0.75)
    with pytest.raises(ValueError, match="groups=5 is not one of the paper's: 1, 2, 3, 4, 8"):
        abstract(groups=5)
