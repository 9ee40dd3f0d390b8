from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import randomise
from zoo.blocks import Conv
from zoo.models.deeplab_v2 import Branches, DeepLabV2
from zoo.ops import force_lowering

TINY = {"small_images": True, "width": 0.02, "num_classes": 3, "rngs": nnx.Rngs(0)}


class Identity(nnx.Module):
    def __call__(self, x):
        return x


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


def on_resnet() -> DeepLabV2:
    """Of few layers."""
    return abstract("deeplab_v2_resnet101", body="resnet18", num_classes=3)


def dilations(model) -> list[int]:
    return [
        branch.kernel_dilation if isinstance(branch, Conv) else branch.fc6.conv.kernel_dilation
        for branch in model.head.branches
    ]


def test_branches_have_their_own_dilation():
    assert dilations(abstract("deeplab_v1_largefov_vgg16")) == [12]
    assert dilations(abstract("deeplab_v2_vgg16")) == [6, 12, 18, 24]
    assert dilations(on_resnet()) == [6, 12, 18, 24]
    assert dilations(abstract("deeplab_v2_vgg16", small_images=True)) == [1, 2, 3, 4]
    assert dilations(abstract("deeplab_v2_vgg16", small_images=True, output_stride=4)) == [2, 4, 6, 8]


def test_bodies_are_dilated_from_stride_8_on():
    stages = on_resnet().body.stages
    assert [{block.conv1.conv.kernel_dilation for block in stage} for stage in stages] == [{1}, {1}, {2}, {4}]
    *_, last = abstract("deeplab_v2_vgg16").body.stages
    assert [
        block.layers[-1].conv.kernel_dilation if isinstance(block, nnx.Sequential) else block.conv.kernel_dilation
        for block in last
    ] == [2, 2, 2]


def test_scores_are_the_sum_of_the_branches_on_the_pooled_map():
    model = DeepLabV2(rates=(6, 24), **TINY)
    randomise(model)
    model.eval()
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 32, 40, 3)), jnp.float32)

    @nnx.jit
    def both(model, images):
        x = model.features(images)["stage5"]
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
        rows, columns = 4, 5
        pooled = jnp.stack([x[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]).max(0)
        return model.dense_logits(images), sum(branch(pooled) for branch in model.head.branches)

    with force_lowering("native"):
        scores, expected = both(model, images)
    assert scores.shape == (1, 4, 5, 3)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * expected.std())


def test_a_single_branch_sees_averages():
    model = DeepLabV2(rates=(6,), **TINY)
    one = jnp.zeros((1, 5, 5, 16)).at[0, 2, 2].set(9.0)
    model.head = Branches([Identity()])
    # the largest of 3×3 pixels, and then the average of 3×3 of these
    assert model.scores({"stage5": [one]})[0, :, :, 0].tolist() == [
        [1, 2, 3, 2, 1],
        [2, 4, 6, 4, 2],
        [3, 6, 9, 6, 3],
        [2, 4, 6, 4, 2],
        [1, 2, 3, 2, 1],
    ]


def test_pixels_lie_at_their_multiples_of_the_stride():
    model = abstract("deeplab_v2_vgg16")
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((1, 3, 4, 2)), jnp.float32)
    enlarged = model.upsample(logits, (20, 25))
    assert enlarged.shape == (1, 20, 25, 2)
    np.testing.assert_allclose(enlarged[:, ::8, ::8], logits, atol=1e-5)


def test_new_classes_reach_every_branch_on_a_resnet():
    def replaced():
        model = zoo.create_model("deeplab_v2_resnet101", body="resnet18", num_classes=3)
        model.reset_head(7)
        return model

    model = nnx.eval_shape(replaced)
    assert model.num_classes == 7
    assert [(branch.out_features, branch.kernel_dilation) for branch in model.head.branches] == [
        (7, rate) for rate in (6, 12, 18, 24)
    ]


def test_no_rates_are_refused():
    with pytest.raises(ValueError, match=r"rates=\(\) must have at least one"):
        abstract("deeplab_v2_vgg16", rates=())
