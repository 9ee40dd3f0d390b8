from __future__ import annotations

import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.weights.export import export_weights
from zoo.weights.safetensors import read_tensors


def test_layouts_are_those_of_pytorch(tmp_path):
    model = zoo.create_model("mobilenet_v2", width=0.35, num_classes=10)
    export_weights(model, tmp_path / "w.safetensors", to="torchvision")
    tensors, _ = read_tensors(tmp_path / "w.safetensors")
    kernel = model.stem.conv.kernel[...]
    np.testing.assert_array_equal(tensors["features.0.0.weight"][5, 2, 0, 1], kernel[0, 1, 2, 5])
    np.testing.assert_array_equal(tensors["classifier.1.weight"], model.head.kernel[...].T)
    assert tensors["features.1.conv.0.0.weight"].shape == (16, 1, 3, 3)
    assert tensors["features.0.1.num_batches_tracked"].dtype == np.int64


def test_a_library_without_the_model_is_refused(tmp_path):
    model = nnx.eval_shape(lambda: zoo.create_model("mobilenet_v4_conv_small"))
    with pytest.raises(ValueError, match="torchvision has no MobileNetV4 of this form; it is in timm"):
        export_weights(model, tmp_path / "w.safetensors", to="torchvision")
    model = nnx.eval_shape(lambda: zoo.create_model("nin"))
    with pytest.raises(ValueError, match="no other library has it"):
        export_weights(model, tmp_path / "w.safetensors", to="timm")
    assert not list(tmp_path.iterdir())


def test_a_fused_model_is_refused(tmp_path):
    fused = zoo.fuse(zoo.create_model("mobilenet_v2", width=0.35, num_classes=10))
    with pytest.raises(ValueError, match=r"torchvision has the batch norms that zoo\.fuse has folded"):
        export_weights(fused, tmp_path / "w.safetensors", to="torchvision")
    assert not list(tmp_path.iterdir())
