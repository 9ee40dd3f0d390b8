from __future__ import annotations

import numpy as np
import pytest
from flax import nnx

from zoo.blocks import ConvNormAct
from zoo.models._names import NameMap
from zoo.weights.name_map import counters, torch_tensors


class Net(nnx.Module):
    def __init__(self) -> None:
        self.unit = ConvNormAct(4, 6, 3, groups=2, rngs=nnx.Rngs(0))
        self.linear = nnx.Linear(2 * 3 * 5, 7, rngs=nnx.Rngs(0))


LAYERS = {"unit": "body.[0,1]", "linear": "fc", "absent": "nowhere.[a,b]"}


def test_layers_have_the_names_and_shapes_of_the_map():
    tensors = torch_tensors(Net(), NameMap(LAYERS))
    assert {ours: (there.name, there.shape) for ours, there in tensors.items()} == {
        "unit.conv.kernel": ("body.0.weight", (6, 2, 3, 3)),
        "unit.norm.scale": ("body.1.weight", (6,)),
        "unit.norm.bias": ("body.1.bias", (6,)),
        "unit.norm.mean": ("body.1.running_mean", (6,)),
        "unit.norm.var": ("body.1.running_var", (6,)),
        "linear.kernel": ("fc.weight", (7, 30)),
        "linear.bias": ("fc.bias", (7,)),
    }
    assert counters(Net(), NameMap(LAYERS)) == ["body.1.num_batches_tracked"]


@pytest.mark.parametrize("is_conv", [False, True])
def test_a_layer_behind_a_flattened_map_takes_its_pixels_in_our_order(is_conv):
    names = NameMap(LAYERS, {"linear": (2, 3)}, convolutions=frozenset({"linear"} if is_conv else ()))
    tensor = torch_tensors(Net(), names)["linear.kernel"]
    there = np.arange(7 * 30).reshape(7, 5, 2, 3)  # outputs, channels, height, width
    ours = tensor.to_ours(there.reshape(tensor.shape))
    image = np.arange(30.0).reshape(2, 3, 5)  # height, width, channels
    np.testing.assert_array_equal(image.reshape(-1) @ ours, np.einsum("ochw,hwc->o", there, image))
    np.testing.assert_array_equal(tensor.from_ours(ours).reshape(there.shape), there)


def test_a_map_that_misses_a_layer_is_an_error():
    with pytest.raises(KeyError, match="linear"):
        torch_tensors(Net(), NameMap({"unit": "body.[0,1]"}))
