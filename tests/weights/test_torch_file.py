from __future__ import annotations

import sys
from types import SimpleNamespace

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
    with pytest.raises(WeightsUnavailableError, match=r"reading it takes PyTorch: `pip install torch`\. Or save it"):
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


class FakeTensor:
    """As much of a tensor as is read, so that no PyTorch is needed."""

    def is_floating_point(self):
        return False

    def detach(self):
        return self

    def numpy(self):
        raise TypeError("can't convert Sparse layout tensor to numpy")


@pytest.mark.parametrize(
    "error", [KeyError("a\nb"), AttributeError("persistent_id"), RecursionError(), TypeError("no")]
)
def test_whatever_reading_a_damaged_file_raises_is_one_line(tmp_path, monkeypatch, error):
    def load(*_arguments, **_options):
        raise error

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load, Tensor=FakeTensor))
    with pytest.raises(ValueError, match=r"w\.pth is no whole file of tensors: .*$") as raised:
        read_torch_file(tmp_path / "w.pth")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([FakeTensor()], "w.pth holds no state dict"),
        ({1: FakeTensor()}, "w.pth holds no state dict"),
        ({"model": {"a": 3}}, "w.pth holds no state dict"),
        ({"a": FakeTensor()}, "w.pth: a is no plain tensor: can't convert Sparse"),
    ],
)
def test_an_odd_file_is_one_line(tmp_path, monkeypatch, state, message):
    fake = SimpleNamespace(load=lambda *_arguments, **_options: state, Tensor=FakeTensor)
    monkeypatch.setitem(sys.modules, "torch", fake)
    with pytest.raises(ValueError, match=message):
        read_torch_file(tmp_path / "w.pth")
