from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import zoo
from tests.quick import randomise
from zoo.weights.export import export_weights
from zoo.weights.load import load_weights
from zoo.weights.name_map import name_maps, torch_tensors
from zoo.weights.safetensors import read_tensors, variables

TINY = {"small_images": True, "width": 0.1, "num_classes": 3}


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


def kernel_of_the_authors() -> np.ndarray:
    """Of 16×16 taps, by their formula."""
    half = math.ceil(16 / 2)
    centre = (2 * half - 1 - half % 2) / (2.0 * half)
    taps = np.asarray([1 - abs(number / half - centre) for number in range(16)])
    return np.outer(taps, taps).astype(np.float32)


@pytest.mark.parametrize("size", [(40, 56), (37, 49)])
def test_scores_are_enlarged_as_by_a_transposed_convolution(size):
    model = abstract("drn_d_22_seg")
    scores = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 7, 3)), jnp.float32)
    kernel = np.broadcast_to(kernel_of_the_authors()[:, :, None, None], (16, 16, 1, 3))
    expected = lax.conv_general_dilated(
        scores,
        kernel,
        (1, 1),
        [(16 - 1 - 4, 16 - 1 - 4)] * 2,
        lhs_dilation=(8, 8),
        feature_group_count=3,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    assert expected.shape == (2, 40, 56, 3)
    ours = model.upsample(scores, size)
    np.testing.assert_allclose(ours, expected[:, : size[0], : size[1]], atol=1e-5)


def test_tensors_have_the_names_of_the_authors():
    def names(name: str) -> dict[str, str]:
        model = abstract(name)
        tensors = torch_tensors(model, name_maps(model)["fyu/drn"])
        assert tensors.keys() == variables(model).keys()
        return {ours: there.name for ours, there in tensors.items()}

    d, c = names("drn_d_22_seg"), names("drn_c_26_seg")
    assert d["body.stem.conv.kernel"] == "base.0.0.weight"
    assert d["body.stages.1.0.norm.mean"] == "base.2.1.running_mean"
    assert d["body.stages.7.0.conv.kernel"] == "base.8.0.weight"
    assert d["head.kernel"] == "seg.weight"
    assert c["body.stem.conv.kernel"] == "base.0.weight"
    assert c["body.stem.norm.scale"] == "base.1.weight"
    assert c["body.stages.0.0.conv1.conv.kernel"] == "base.3.0.conv1.weight"
    assert c["body.stages.2.0.shortcut.norm.bias"] == "base.5.0.downsample.1.bias"
    assert c["body.stages.7.1.conv.kernel"] == "base.10.0.conv2.weight"


def test_weights_are_written_with_the_fixed_ones_and_come_back(tmp_path):
    saved, loaded = (abstract("drn_c_26_seg", **TINY) for _ in range(2))
    randomise(saved)
    randomise(loaded)
    nnx.update(loaded, {"head": {"kernel": jnp.zeros_like(loaded.head.kernel[...])}})
    export_weights(saved, tmp_path / "w.safetensors", to="fyu/drn")
    tensors, _ = read_tensors(tmp_path / "w.safetensors")
    assert tensors["up.weight"].shape == (3, 1, 16, 16)
    np.testing.assert_allclose(tensors["up.weight"][2, 0], kernel_of_the_authors(), atol=1e-6)
    load_weights(loaded, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(loaded.head.kernel[...], saved.head.kernel[...])


def test_images_are_normalised_as_the_authors_do():
    preprocessing = zoo.model_info("drn_d_105_seg").preprocessing
    assert preprocessing.input_size == 840
    assert [round(value, 3) for value in (*preprocessing.mean, *preprocessing.std)] == [
        0.29,
        0.328,
        0.287,
        0.183,
        0.187,
        0.184,
    ]
