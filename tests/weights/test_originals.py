"""Every net that takes weights of torchvision or timm, beside the original itself, where PyTorch is installed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flax import nnx

import zoo
from tests.weights.originals import ORIGINALS, build, load
from tests.weights.random_weights import random_images, random_tensor
from zoo.ops import force_lowering
from zoo.weights.export import export_weights
from zoo.weights.safetensors import read_tensors, write_tensors

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("timm")

SIZES = (96, 107)


def run_original(net: Any, images: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The logits, of a segmentation net also those of its auxiliary head, and every map (N, H, W, C) of a layer."""
    maps = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            maps.append(output.permute(0, 2, 3, 1).numpy().copy())

    hooks = [module.register_forward_hook(keep) for module in net.modules()]
    with torch.inference_mode():
        output = net(torch.from_numpy(images).permute(0, 3, 1, 2))
    for hook in hooks:
        hook.remove()
    if isinstance(output, dict):  # of a segmentation net
        return [logits.permute(0, 2, 3, 1).numpy() for logits in output.values()], maps
    return [output.numpy()], maps


def error_of(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / theirs.std())


@pytest.mark.parametrize("original", ORIGINALS)
def test_weights_go_in_and_out_and_give_the_same_numbers(original, tmp_path):
    library, name = original.split("/")
    net = build(original, num_classes=10)
    state = {name: random_tensor(name, tuple(tensor.shape)) for name, tensor in net.state_dict().items()}
    load(net, state)
    write_tensors(tmp_path / "model.safetensors", state, {})
    if library == "timm":
        config = {"architecture": name, "pretrained_cfg": net.pretrained_cfg}
        (tmp_path / "config.json").write_text(json.dumps(config))
    has_heads = any(name.startswith(("aux1.", "AuxLogits.", "aux_classifier.")) for name in state)
    heads = {"auxiliary_heads": True} if has_heads else {}
    model = zoo.create_model(ORIGINALS[original], weights=tmp_path, **heads)
    model.eval()

    @nnx.jit
    def run(model, images):
        if isinstance(model, zoo.Segmenter) and has_heads:
            main, auxiliary = model.logits_with_auxiliary(images)
            return [main, *auxiliary], model.features(images)
        return [model(images)], model.features(images)

    for size in SIZES:
        images = random_images(size)
        logits, maps = run_original(net, images)
        with force_lowering("native"):  # compiles faster
            ours, features = run(model, images)
        error = max(error_of(np.asarray(own), there) for own, there in zip(ours, logits, strict=True))
        errors = {
            stage: min(error_of(np.asarray(feature), there) for there in maps if there.shape == feature.shape)
            for stage, feature in features.items()
        }
        print(f"| {original} | {ORIGINALS[original]} | {size} | {error:.1e} | {max(errors.values()):.1e} |")
        assert error < 1e-4
        assert max(errors.values()) < 1e-4, errors

    export_weights(model, tmp_path / "out.safetensors", to=library)
    exported, _ = read_tensors(tmp_path / "out.safetensors")
    again = build(original, num_classes=10)
    load(again, exported)
    for name, tensor in again.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[name], err_msg=name)


def test_a_dilated_mobilenet_v3_is_torchvisions_without_being_told(tmp_path):
    from torchvision.models import mobilenet_v3_large

    net = mobilenet_v3_large(weights=None, dilated=True, num_classes=10).eval()
    state = {name: random_tensor(name, tuple(tensor.shape)) for name, tensor in net.state_dict().items()}
    load(net, state)
    write_tensors(tmp_path / "model.safetensors", state, {})
    images = random_images(64)
    (expected,), _ = run_original(net, images)

    def error(**options):
        weights = tmp_path / "model.safetensors"
        model = zoo.create_model("mobilenet_v3_large", output_stride=16, weights=weights, **options)
        model.eval()
        with force_lowering("native"):
            return error_of(np.asarray(nnx.jit(lambda model, images: model(images))(model, images)), expected)

    assert error() < 1e-4
    assert error(dilates_first=False) > 1e-2
