from __future__ import annotations

import os
import stat

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.blocks import ConvNormAct
from zoo.weights.load import load_weights
from zoo.weights.safetensors import read_tensors, save_weights, write_tensors


def block(seed: int = 0, out_channels: int = 4) -> ConvNormAct:
    return ConvNormAct(3, out_channels, rngs=nnx.Rngs(seed))


def test_a_model_round_trips(tmp_path):
    saved, loaded = block(0), block(1)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 3)), jnp.float32)
    saved(x)  # moves the batch statistics
    save_weights(saved, tmp_path / "w.safetensors", {"key": "value"})
    load_weights(loaded, tmp_path / "w.safetensors")
    for model in (saved, loaded):
        model.eval()
    np.testing.assert_array_equal(saved(x), loaded(x))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_statistics_that_are_loaded_move_as_slowly_as_any_after_many_batches(tmp_path):
    """How many batches they have seen is not in the file; the next one has the share that the momentum leaves it."""
    saved, loaded = block(0), block(1)
    x = jnp.ones((2, 8, 8, 3))
    for model in (saved, loaded):
        model(x)
    save_weights(saved, tmp_path / "w.safetensors")
    assert not [name for name in read_tensors(tmp_path / "w.safetensors")[0] if "num_batches" in name]
    load_weights(loaded, tmp_path / "w.safetensors")
    before, batch = loaded.norm.mean[...], loaded.conv(2 * x).mean((0, 1, 2))
    loaded(2 * x)
    np.testing.assert_allclose(loaded.norm.mean[...], 0.9 * before + 0.1 * batch, rtol=1e-5, atol=1e-6)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for number in range(5):
        save_weights(block(), tmp_path / str(number), {"a": 1, "b": {"c": 2}})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")
def test_a_file_has_the_permissions_of_its_neighbours(tmp_path):
    (tmp_path / "neighbour").write_bytes(b"")
    save_weights(block(), tmp_path / "w.safetensors")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_create_model_loads_weights(tmp_path):
    options = {"num_classes": 3, "width": 0.35, "small_images": True}
    saved = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(5), **options)
    save_weights(saved, tmp_path / "w.safetensors")
    loaded = zoo.create_model("mobilenet_v2", weights=tmp_path / "w.safetensors", **options)
    np.testing.assert_array_equal(saved.head.kernel[...], loaded.head.kernel[...])


def test_whatever_does_not_fit_is_listed_and_the_model_left_alone(tmp_path):
    save_weights(block(out_channels=5), tmp_path / "w.safetensors")
    model = block(1)
    model.extra = nnx.Param(jnp.zeros(2))
    before = model.conv.kernel[...]
    with pytest.raises(ValueError, match="does not fit") as error:
        load_weights(model, tmp_path / "w.safetensors")
    message = str(error.value)
    assert "conv.kernel has shape (3, 3, 3, 5), the model's has (3, 3, 3, 4)" in message
    assert "extra is missing" in message
    np.testing.assert_array_equal(model.conv.kernel[...], before)

    plain = ConvNormAct(3, 5, norm=None, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"norm\.scale has no place in the model"):
        load_weights(plain, tmp_path / "w.safetensors")


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(block(), path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        load_weights(block(), path)
    with pytest.raises(FileNotFoundError):
        load_weights(block(), tmp_path / "absent.safetensors")


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path):
    path, description = tmp_path / "w.safetensors", {"image_size": 32, "mean": [0.1] * 3, "std": [0.2] * 3, "note": "x"}
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}
    write_tensors(path, tensors, description)
    whole = path.read_bytes()
    key = whole.index(b'"zoo"')  # without which it is a file of somebody else
    for place in set(range(len(whole))) - set(range(key + 1, key + 4)):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        try:
            read, read_description = read_tensors(path)
        except ValueError:
            continue
        assert read_description == description, place
        assert sorted(tensor.tobytes() for tensor in read.values()) == sorted(
            tensor.tobytes() for tensor in tensors.values()
        ), place
