from __future__ import annotations

from dataclasses import asdict

import jax.numpy as jnp
import numpy as np
from flax import nnx

import zoo
from zoo.blocks import ConvNormAct
from zoo.weights.name_map import name_maps, torch_tensors
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import write_tensors


def test_numerics_of_a_model_can_be_read_and_set():
    unit = ConvNormAct(1, 1, 3, stride=2, rngs=nnx.Rngs(0))
    assert Numerics.of(unit) == Numerics(epsilon=1e-5)
    ported = Numerics(epsilon=1e-3, tensorflow_padding=True)
    ported.apply(unit)
    assert Numerics.of(unit) == ported


def test_tensorflow_pads_behind_an_even_image_only():
    unit = ConvNormAct(1, 1, 3, stride=2, act=None, rngs=nnx.Rngs(0))
    unit.conv.kernel[...] = jnp.zeros((3, 3, 1, 1)).at[0, 0].set(1)  # gives the pixel at the upper left
    unit.eval()
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(unit(image)[0, :, :, 0], [[0, 0], [0, 5]], rtol=1e-4)
    Numerics(tensorflow_padding=True).apply(unit)
    np.testing.assert_allclose(unit(image)[0, :, :, 0], [[0, 2], [8, 10]], rtol=1e-4)


def first_dilations(model) -> list[int]:
    """Of the blocks of the last two stages, with their padding."""
    convs = [block.depthwise.conv for stage in [*model.stages][-2:] for block in stage]
    for conv in convs:
        pixels = conv.kernel_dilation * (conv.kernel_size[0] - 1) // 2
        assert conv.padding == ((pixels, pixels), (pixels, pixels))
    return [conv.kernel_dilation for conv in convs]


def test_the_first_blocks_of_dilated_stages_can_be_dilated_afterwards():
    def built(**options):
        return nnx.eval_shape(lambda: zoo.create_model("mobilenet_v3_large", output_stride=8, **options))

    without, with_it = (first_dilations(built(dilates_first=there)) for there in (False, True))
    assert without != with_it
    model = built()
    Numerics(dilates_first=True).apply(model)
    assert first_dilations(model) == with_it
    assert Numerics.of(model).dilates_first is True
    Numerics(dilates_first=False).apply(model)
    assert first_dilations(model) == without
    Numerics(dilates_first=True).apply(model, set_dilation=False)
    assert first_dilations(model) == without
    assert Numerics.of(nnx.eval_shape(lambda: zoo.create_model("resnet18"))).dilates_first is None


def test_dilation_follows_the_origin_of_the_weights_unless_it_is_given(tmp_path):
    options = {"width": 0.25, "small_images": True, "num_classes": 3, "output_stride": 4}

    def built(weights=None, **others):
        return nnx.eval_shape(lambda: zoo.create_model("mobilenet_v3_small", weights=weights, **options | others))

    model, with_it = built(dilates_first=False), built(dilates_first=True)
    undilated, as_in_torchvision = first_dilations(model), first_dilations(with_it)
    assert undilated != as_in_torchvision

    def file_of(library, **description):
        tensors = torch_tensors(model, name_maps(model)[library]).values()
        path = tmp_path / "w.safetensors"
        write_tensors(path, {there.name: np.ones(there.shape, np.float32) for there in tensors}, description)
        return path

    assert first_dilations(built(file_of("timm"))) == undilated
    assert first_dilations(built(file_of("torchvision"))) == as_in_torchvision
    assert first_dilations(built(file_of("torchvision"), dilates_first=False)) == undilated
    assert first_dilations(built(file_of("timm", numerics=asdict(Numerics.of(with_it))))) == as_in_torchvision
