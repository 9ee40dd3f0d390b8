from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.models.nin import NetworkInNetwork
from zoo.ops import force_lowering


def convolutions(**options):
    model = nnx.eval_shape(lambda: NetworkInNetwork(**options, rngs=nnx.Rngs(0)))
    units = [model.stem] + [unit for stage in model.stages for unit in stage if hasattr(unit, "conv")]
    return [unit.conv for unit in units]


def test_every_spatial_convolution_is_followed_by_pointwise_ones():
    convs = convolutions()
    assert [conv.kernel_size[0] for conv in convs] == [5, 1, 1, 5, 1, 1, 3, 1]
    assert [conv.out_features for conv in convs] == [192, 160, 96, 192, 192, 192, 192, 192]


@pytest.mark.parametrize(("root_groups", "third"), [(1, 1), (2, 1), (4, 2), (16, 8)])
def test_root_modules_group_the_spatial_convolutions_less_with_depth(root_groups, third):
    groups = [conv.feature_group_count for conv in convolutions(root_groups=root_groups)]
    assert groups == [1, 1, 1, root_groups, 1, 1, third, 1]


def test_averaging_before_the_head_is_averaging_the_papers_map_of_classes():
    model = NetworkInNetwork(rngs=nnx.Rngs(0))
    model.eval()
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 32, 32, 3)), jnp.float32)
    with force_lowering("native"):
        maps = model.head(model.features(images)["stage3"])
        assert maps.shape == (1, 8, 8, 10)
        np.testing.assert_allclose(model(images), maps.mean((1, 2)), atol=1e-4)


@pytest.mark.parametrize("root_groups", [0, 3])
def test_odd_root_groups_are_refused(root_groups):
    with pytest.raises(ValueError, match=f"root_groups={root_groups} must be 1 or even"):
        NetworkInNetwork(root_groups=root_groups, rngs=nnx.Rngs(0))


def test_a_bad_dropout_is_refused():
    with pytest.raises(ValueError, match=r"dropout=1.0 must be at least 0 and below 1"):
        NetworkInNetwork(dropout=1.0, rngs=nnx.Rngs(0))
