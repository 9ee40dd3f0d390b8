from __future__ import annotations

from flax import nnx

import zoo


def test_a1_squeezes_a_quarter_of_each_blocks_input_and_b1_nothing():
    def squeezed(name: str) -> list[tuple[int, int]]:
        model = nnx.eval_shape(lambda: zoo.create_model(name))
        blocks = [block for stage in model.stages for block in stage if block.squeeze_excite is not None]
        return [(block.expand.conv.in_features, block.squeeze_excite.reduce.out_features) for block in blocks]

    assert squeezed("mnasnet_b1") == []
    assert squeezed("mnasnet_a1") == [(24, 6), (40, 10), (40, 10), (80, 20), (112, 28), (112, 28), (160, 40), (160, 40)]


def test_no_width_changes_the_last_layer():
    for name in ("mnasnet_b1_x0_5", "mnasnet_b1_x1_3"):
        assert nnx.eval_shape(lambda name=name: zoo.create_model(name)).num_features == 1280
