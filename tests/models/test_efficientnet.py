from __future__ import annotations

import jax
import numpy as np
from flax import nnx

import zoo


def test_every_block_squeezes_a_quarter_of_its_input_under_the_same_activation():
    model = nnx.eval_shape(lambda: zoo.create_model("efficientnet_b0"))
    for stage in model.stages:
        for block in stage:
            first = block.depthwise if block.expand is None else block.expand
            assert block.squeeze_excite.reduce.out_features == first.conv.in_features // 4
            assert block.squeeze_excite.act is jax.nn.silu


def test_stochastic_depth_grows_to_the_papers_rate():
    model = nnx.eval_shape(lambda: zoo.create_model("efficientnet_b0"))
    rates = [block.drop_path.rate for stage in model.stages for block in stage]
    np.testing.assert_allclose(rates, np.linspace(0, 0.2, 16))
