from __future__ import annotations

import jax
import pytest
from flax import nnx

import zoo
from zoo.models import MobileNetV3


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


def blocks(model):
    return [block for stage in model.stages for block in stage]


def test_hidden_channels_are_those_of_the_papers_tables():
    large = [block.depthwise.conv.in_features for block in blocks(abstract("mobilenet_v3_large"))]
    assert large == [16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960]
    small = [block.depthwise.conv.in_features for block in blocks(abstract("mobilenet_v3_small"))]
    assert small == [16, 72, 88, 96, 240, 240, 120, 144, 288, 576, 576]


def test_early_blocks_have_relu_and_the_others_the_given_activation():
    acts = [block.depthwise.act for block in blocks(abstract("mobilenet_v3_large", act=jax.nn.silu))]
    assert acts == [jax.nn.relu] * 6 + [jax.nn.silu] * 9


def test_squeeze_and_excitation_is_where_the_paper_has_it():
    squeezes = [block.squeeze_excite is not None for block in blocks(abstract("mobilenet_v3_large"))]
    assert [number for number, squeezes in enumerate(squeezes) if squeezes] == [3, 4, 5, 10, 11, 12, 13, 14]


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="size='medium' is not one of the paper's: large, small"):
        MobileNetV3(size="medium", rngs=nnx.Rngs(0))
