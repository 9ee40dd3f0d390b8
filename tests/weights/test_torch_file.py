from __future__ import annotations

import sys

import numpy as np
import pytest

import zoo
from zoo.weights.export import export_weights
from zoo.weights.safetensors import read_tensors
from zoo.weights.torch_file import read_torch_file
from zoo.weights.unavailable import WeightsUnavailableError


def test_without_pytorch_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(WeightsUnavailableError, match=r"takes PyTorch to read: `pip install torch`\. Or save it"):
        zoo.create_model("mobilenet_v2", weights=tmp_path / "w.pth")


def test_state_dicts_are_read_also_from_training_checkpoints(tmp_path):
    torch = pytest.importorskip("torch")
    model = zoo.create_model("mobilenet_v2", width=0.35, num_classes=10)
    export_weights(model, tmp_path / "w.safetensors", to="torchvision")
    tensors, _ = read_tensors(tmp_path / "w.safetensors")
    state = {f"module.{name}": torch.from_numpy(tensor) for name, tensor in tensors.items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "w.pth")
    loaded = zoo.create_model("mobilenet_v2", width=0.35, weights=tmp_path / "w.pth")
    np.testing.assert_array_equal(loaded.last.conv.kernel[...], model.last.conv.kernel[...])


def test_pickled_code_is_not_executed(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": pytest.raises}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="no whole file of tensors"):
        read_torch_file(tmp_path / "code.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state dict"):
        read_torch_file(tmp_path / "list.pth")
    torch.save({"a": torch.zeros(9)}, tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:-50])
    with pytest.raises(ValueError, match="no whole file of tensors"):
        read_torch_file(tmp_path / "w.pth")
