from __future__ import annotations

import json
import time

import numpy as np
import pytest
import requests

import zoo
from zoo.preprocessing import Preprocessing
from zoo.weights.checkpoint import find_checkpoint
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import write_tensors
from zoo.weights.unavailable import WeightsUnavailableError


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def fail(*_arguments, **_options):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "get", fail)
    monkeypatch.setattr(requests, "head", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def describe(folder, architecture: str) -> None:
    write_tensors(folder / "model.safetensors", {"a": np.zeros(1)}, {})
    training = {
        "input_size": [3, 240, 240],
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    (folder / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": training}))


def test_a_folder_from_timm_tells_model_preprocessing_and_numerics(tmp_path):
    describe(tmp_path, "mobilenetv4_conv_small")
    checkpoint = find_checkpoint(tmp_path)
    halves = (0.5, 0.5, 0.5)
    assert checkpoint.model == "mobilenet_v4_conv_small"
    assert checkpoint.preprocessing == Preprocessing(240, 266, "bicubic", halves, halves)
    assert checkpoint.numerics is None
    info = zoo.model_info("mobilenet_v4_conv_small", weights=tmp_path)
    assert info.preprocessing == checkpoint.preprocessing
    assert info.parameters == zoo.model_info("mobilenet_v4_conv_small").parameters


def test_nets_ported_from_tensorflow_pad_and_normalise_as_there(tmp_path):
    describe(tmp_path, "tf_efficientnet_b0")
    checkpoint = find_checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.model == "efficientnet_b0"
    assert checkpoint.numerics == Numerics(epsilon=1e-3, tensorflow_padding=True, dilates_first=False)


def test_without_a_network_the_message_says_where_to_put_the_file(no_network, tmp_path):
    started = time.monotonic()
    with pytest.raises(
        WeightsUnavailableError, match=r"ConnectionError\. Without .* at .*checkpoints.mobilenet_v2-7ebf"
    ):
        zoo.create_model("mobilenet_v2", weights="torchvision/MobileNet_V2_Weights.IMAGENET1K_V2")
    with pytest.raises(WeightsUnavailableError, match=r"config\.json and model\.safetensors into a folder"):
        zoo.create_model("mobilenet_v4_conv_small", weights="timm/mobilenetv4_conv_small.e2400_r224_in1k")
    assert time.monotonic() - started < 10
    with pytest.raises(
        ValueError, match=r"unknown weights 'torchvision/MobileNetV2_Weights.*nearest: MobileNet_V2_Weig"
    ):
        zoo.create_model("mobilenet_v2", weights="torchvision/MobileNetV2_Weights.IMAGENET1K_V2")


def test_a_file_of_torchvision_is_known_by_its_name(tmp_path):
    (tmp_path / "mobilenet_v2-7ebf99e0.pth").write_bytes(b"")
    checkpoint = find_checkpoint(tmp_path / "mobilenet_v2-7ebf99e0.pth")
    assert checkpoint.model == "mobilenet_v2"
    assert checkpoint.preprocessing == Preprocessing(224, 232)


def test_a_run_tells_how_its_test_pictures_were_resized(tmp_path):
    said = {"image_size": 32, "mean": [0.1] * 3, "std": [0.2] * 3}
    for more, expected in (
        ({}, Preprocessing(32, 32, "bilinear", (0.1,) * 3, (0.2,) * 3)),
        ({"resize_size": 40, "interpolation": "bicubic"}, Preprocessing(32, 40, "bicubic", (0.1,) * 3, (0.2,) * 3)),
    ):
        write_tensors(tmp_path / "w.safetensors", {}, said | more)
        assert find_checkpoint(tmp_path / "w.safetensors").preprocessing == expected
