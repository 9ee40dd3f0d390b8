from __future__ import annotations

import pytest
from flax import nnx

import zoo
from zoo.registry import _models
from zoo.weights.name_map import name_maps, torch_tensors


@pytest.mark.parametrize("name", sorted({_models[name].architecture: name for name in zoo.list_models()}.values()))
@pytest.mark.parametrize("small", [False, True], ids=["imagenet", "small"])
def test_every_map_names_every_tensor_once(name, small):
    options = {"small_images": True} if small and zoo.model_info(name).input_size != 32 else {}
    model = nnx.eval_shape(lambda: zoo.create_model(name, **options))
    for names in name_maps(model).values():
        theirs = [tensor.name for tensor in torch_tensors(model, names).values()]
        assert len(set(theirs)) == len(theirs)


def names_of(name: str, library: str) -> dict[str, str]:
    model = nnx.eval_shape(lambda: zoo.create_model(name))
    return {ours: there.name for ours, there in torch_tensors(model, name_maps(model)[library]).items()}


def test_drn_has_the_names_of_its_authors():
    d, c = names_of("drn_d_22", "fyu/drn"), names_of("drn_c_26", "fyu/drn")
    assert d["stem.conv.kernel"] == "layer0.0.weight"
    assert d["stages.1.0.norm.mean"] == "layer2.1.running_mean"
    assert d["stages.2.0.shortcut.conv.kernel"] == "layer3.0.downsample.0.weight"
    assert d["stages.7.0.conv.kernel"] == "layer8.0.weight"
    assert c["stem.norm.scale"] == "bn1.weight"
    assert c["stages.6.1.conv.kernel"] == "layer7.0.conv2.weight"
    assert c["head.kernel"] == "fc.weight"


def test_resnext29_has_the_names_of_its_best_known_implementation():
    names = names_of("resnext29_8x64d", "prlz77/ResNeXt.pytorch")
    assert names["stages.0.0.shortcut.conv.kernel"] == "stage_1.stage_1_bottleneck_0.shortcut.shortcut_conv.weight"
    assert names["stages.2.1.filter.norm.mean"] == "stage_3.stage_3_bottleneck_1.bn.running_mean"
