"""Files that somebody made: each ends in one line that names the file and what is wrong in it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo.cli import main
from zoo.weights.checkpoint import find_checkpoint
from zoo.weights.description import check_description
from zoo.weights.safetensors import variables, write_tensors

OPTIONS = {"width": 0.35, "num_classes": 3, "small_images": True}
DESCRIPTION: dict[str, Any] = {
    "model": "mobilenet_v2",
    "options": OPTIONS,
    "class_names": ["a", "b", "c"],
    "image_size": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
    "numerics": {"epsilon": 1e-5, "tensorflow_padding": False},
}
PRETRAINED: dict[str, Any] = {
    "input_size": [3, 224, 224],
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
}


@pytest.fixture(scope="module")
def tensors():
    model = nnx.eval_shape(lambda: zoo.create_model("mobilenet_v2", **OPTIONS))
    return {name: np.zeros(variable.shape, np.float32) for name, variable in variables(model).items()}


def made(tmp_path, tensors, description: Any):
    """A whole safetensors file with any text in its header."""
    from safetensors.numpy import save_file

    path = tmp_path / "w.safetensors"
    if isinstance(description, dict):
        description = {"crc32": {}} | description
    text = description if isinstance(description, str) else json.dumps(description)
    save_file(tensors, path, {"zoo": text})
    return path


def changed(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (DESCRIPTION | changes).items() if value is not ...}


ODD = [
    ("not JSON", "the description is no JSON"),
    ("[" * 100_000, "the description is no JSON"),
    ([], "the description is [], but must be a mapping"),
    (None, "the description is None, but must be a mapping"),
    (changed(model=3), "model is 3, but must be a text"),
    (changed(options=[1]), "options is [1], but must be a mapping from options to values"),
    (changed(options={"widht": 1.0}), "mobilenet_v2 has no option 'widht'; nearest: width"),
    (changed(options={"width": "wide"}), "mobilenet_v2 takes no width='wide'; it must be float"),
    (changed(options={"width": 10**400}), "mobilenet_v2 takes no width=1000"),
    (changed(options={"width": float("nan")}), "mobilenet_v2 takes no width=nan"),
    (changed(options={"num_classes": 2.5}), "mobilenet_v2 takes no num_classes=2.5; it must be int"),
    (changed(options={"num_classes": True}), "mobilenet_v2 takes no num_classes=True; it must be int"),
    (changed(options={"act": "relu"}), "mobilenet_v2 takes no act='relu'"),
    (changed(options={"width": 1e5}), "does not fit the model"),
    (changed(options={"width": -1}), "width=-1 must be positive"),
    (changed(options={"output_stride": 12}), "output_stride=12 must be a power of two"),
    (changed(options={"dtype": "float31"}), "option dtype is 'float31', but must be left to whoever loads the weights"),
    (changed(class_names="abc"), "class_names is 'abc', but must be a list of texts"),
    (changed(class_names=[1, 2, 3]), "class_names is [1, 2, 3], but must be a list of texts"),
    (changed(image_size=0), "image_size is 0, but must be a whole number from 1 to 4096"),
    (changed(image_size=10**9), "image_size is 1000000000, but must be"),
    (changed(resize_size=0), "resize_size is 0, but must be a whole number from 1 to 4096"),
    (changed(interpolation="nearest"), "interpolation is 'nearest', but must be bilinear or bicubic"),
    (changed(image_size="32"), "image_size is '32', but must be"),
    (changed(mean=...), "mean is None, but must be given with an image_size"),
    (changed(mean=[0.5]), "mean is [0.5], but must be three numbers"),
    (changed(mean=[0.5, 0.5, float("inf")]), "mean is [0.5, 0.5, inf], but must be three numbers"),
    (changed(std=[0.2, 0.2, 0]), "std is [0.2, 0.2, 0], but must be three numbers above 0"),
    (changed(std={"r": 1}), "std is {'r': 1}, but must be three numbers above 0"),
    (changed(numerics=[]), "numerics is [], but must be a mapping"),
    (changed(numerics={"epsilon": "small"}), "numerics is {'epsilon': 'small'}, but must be a mapping"),
    (changed(numerics={"eps": 1e-5}), "numerics is {'eps': 1e-05}, but must be a mapping"),
    (changed(crc32=None), "crc32 is None, but must be a mapping from tensors to checksums"),
    (changed(crc32=[1]), "crc32 is [1], but must be a mapping from tensors to checksums"),
    (changed(crc32={"head.bias": "0"}), "was changed after it was written, by the checksums of head.bias"),
]


@pytest.mark.parametrize(("description", "message"), ODD, ids=[message for _, message in ODD])
def test_an_odd_description_is_one_line_with_the_file_and_the_value(tmp_path, tensors, description, message):
    path = made(tmp_path, tensors, description)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        zoo.create_model("mobilenet_v2", weights=path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_description_is_taken(tmp_path, tensors):
    checkpoint = find_checkpoint(made(tmp_path, tensors, DESCRIPTION))
    assert checkpoint.description == DESCRIPTION
    assert checkpoint.preprocessing is not None
    assert checkpoint.preprocessing.std == (0.2, 0.2, 0.2)


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="image_size is 0, but must be"):
        write_tensors(tmp_path / "w.safetensors", {}, {"image_size": 0})
    assert not list(tmp_path.iterdir())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def message_of(description: Any) -> str | None:
    try:
        check_description(description, "w.safetensors")
    except ValueError as error:
        return str(error)
    return None


@given(st.dictionaries(st.sampled_from([*DESCRIPTION]), json_values) | json_values)
def test_any_json_is_taken_or_refused_in_a_line(description):
    message = message_of(json.loads(json.dumps(description)))
    assert message is None or (message.startswith("w.safetensors: ") and "\n" not in message)


TIMM = [
    ("{", "is no JSON"),
    ("[]", "the content is [], but must be a mapping"),
    ({"pretrained_cfg": PRETRAINED}, "architecture is None, but must be timm's name of the net"),
    ({"architecture": ["resnet18"], "pretrained_cfg": PRETRAINED}, "architecture is ['resnet18'], but must be"),
    ({"architecture": "resnet18"}, "pretrained_cfg is None, but must be a mapping"),
    *(
        ({"architecture": "resnet18", "pretrained_cfg": PRETRAINED | {key: value}}, message)
        for key, value, message in (
            ("input_size", 224, "input_size is 224, but must be channels, height and width"),
            ("input_size", [3, 10**9, 10**9], "input_size is [3, 1000000000, 1000000000], but must be"),
            ("crop_pct", 0, "crop_pct is 0, but must be a number from 0.1 to 1"),
            ("interpolation", ["bicubic"], "interpolation is ['bicubic'], but must be bilinear or bicubic"),
            ("mean", None, "mean is None, but must be three numbers"),
            ("std", [0, 1, 1], "std is [0, 1, 1], but must be three numbers above 0"),
        )
    ),
]


@pytest.mark.parametrize(("content", "message"), TIMM, ids=[message for _, message in TIMM])
def test_an_odd_config_of_timm_is_one_line_with_the_file_and_the_value(tmp_path, content, message):
    write_tensors(tmp_path / "model.safetensors", {"a": np.zeros(1, np.float32)}, {})
    config = tmp_path / "config.json"
    config.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        find_checkpoint(tmp_path)
    assert str(error.value).startswith(str(config))
    assert message in str(error.value)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_one_line(tmp_path, tensors, keep):
    path = made(tmp_path, tensors, DESCRIPTION)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is no whole safetensors file") as error:
        zoo.create_model("mobilenet_v2", weights=path)
    assert str(path) in str(error.value)


def test_a_type_of_tensors_that_numpy_lacks_is_one_line(tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        zoo.create_model("mobilenet_v2", weights=path)


def test_predict_takes_weights_with_fewer_class_names_than_classes(tmp_path, tensors, capsys):
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    path = made(tmp_path, tensors, changed(class_names=["a", "b"]))
    assert main(["predict", str(tmp_path / "a.png"), "--weights", str(path)]) == 0
    assert capsys.readouterr().out.split()[1:] == ["33.33%", "a", "33.33%", "b", "33.33%", "class", "2"]


def test_more_class_names_than_classes_are_refused(tmp_path, tensors):
    path = made(tmp_path, tensors, changed(class_names=list("abcd")))
    with pytest.raises(ValueError, match=r"w.safetensors: there are 4 class_names for 3 classes"):
        find_checkpoint(path).class_names(3)
