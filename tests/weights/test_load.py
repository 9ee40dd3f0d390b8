from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.blocks import BatchNorm
from zoo.weights.checkpoint import find_checkpoint
from zoo.weights.export import export_weights
from zoo.weights.load import fit_weights, load_weights
from zoo.weights.name_map import name_maps, torch_tensors
from zoo.weights.safetensors import read_tensors, save_weights, variables, write_tensors

SMALL = {"width": 0.35, "num_classes": 10, "small_images": True}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file of torchvision's names."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    model = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(7), **SMALL)
    export_weights(model, path, to="torchvision")
    return path


def abstract(**options):
    return nnx.eval_shape(lambda: zoo.create_model("mobilenet_v2", **SMALL | options))


def change(path, tmp_path, edit):
    tensors, _ = read_tensors(path)
    edit(tensors)
    write_tensors(tmp_path / "changed.safetensors", tensors, {})
    return tmp_path / "changed.safetensors"


def message_for(path, **options) -> str:
    with pytest.raises(ValueError, match="does not fit") as error:
        zoo.create_model("mobilenet_v2", weights=path, **SMALL | options)
    return str(error.value)


def test_names_of_torchvision_are_recognised(exported):
    model = zoo.create_model("mobilenet_v2", weights=exported, **SMALL)
    saved = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(7), **SMALL)
    np.testing.assert_array_equal(
        model.stages[2][1].expand.conv.kernel[...], saved.stages[2][1].expand.conv.kernel[...]
    )


def test_a_renamed_tensor_is_refused_by_both_names(exported, tmp_path):
    def rename(tensors):
        tensors["features.0.0.wait"] = tensors.pop("features.0.0.weight")

    message = message_for(change(exported, tmp_path, rename))
    assert "features.0.0.weight is missing" in message
    assert "features.0.0.wait has no place in the model" in message


def test_a_transposed_tensor_is_refused_by_its_shape(exported, tmp_path):
    def transpose(tensors):
        tensors["features.0.0.weight"] = tensors["features.0.0.weight"].transpose(2, 3, 1, 0)

    message = message_for(change(exported, tmp_path, transpose))
    assert "features.0.0.weight has shape (3, 3, 3, 16), the model's has (16, 3, 3, 3)" in message


def test_a_transposed_tensor_of_the_same_shape_is_refused_by_its_checksum(exported, tmp_path):
    """As when something else writes the file again and keeps its header."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    tensors, _ = read_tensors(exported)
    with safe_open(exported, framework="numpy") as file:
        header = file.metadata()
    tensors["features.0.0.weight"] = np.ascontiguousarray(tensors["features.0.0.weight"].swapaxes(2, 3))
    save_file(tensors, tmp_path / "changed.safetensors", header)
    with pytest.raises(ValueError, match=r"changed after it was written, by the checksums of features\.0\.0\.weight$"):
        zoo.create_model("mobilenet_v2", weights=tmp_path / "changed.safetensors", **SMALL)


def test_a_file_of_another_model_is_refused(exported):
    with pytest.raises(ValueError, match="of the 16 tensors that AlexNet has in the zoo and in torchvision it has 2"):
        zoo.create_model("alexnet", weights=exported)
    message = message_for(exported, width=0.5)
    assert "features.10.conv.0.1.weight has shape (144,), the model's has (192,)" in message
    assert message.endswith("; and 182 more")


def test_a_truncated_file_is_refused(exported, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(exported.read_bytes()[:-100])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        zoo.create_model("mobilenet_v2", weights=path, **SMALL)
    with pytest.raises(FileNotFoundError, match=r"there are no weights at .*absent"):
        zoo.create_model("mobilenet_v2", weights=tmp_path / "absent.safetensors")


def test_what_does_not_fit_is_passed_over_if_asked_with_a_line(exported, tmp_path):
    def spoil(tensors):
        tensors["features.0.0.weight"] = tensors["features.0.0.weight"][:8]
        for number in range(7):
            tensors[f"extra.{number}"] = np.zeros(1, np.float32)

    path = change(exported, tmp_path, spoil)
    with pytest.warns(UserWarning, match="fits 261") as warned:
        model = zoo.create_model("mobilenet_v2", weights=path, strict=False, **SMALL)
    assert [str(one.message) for one in warned] == [
        f"{path} fits 261 of the model's 262 tensors: 1 stays as it was (stem.conv.kernel), and of the file "
        "7 have no place in the model (extra.0, extra.1, extra.2, extra.3, extra.4, ...)"
    ]
    saved = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(7), **SMALL)
    assert (model.stem.conv.kernel[...] != saved.stem.conv.kernel[...]).any()
    np.testing.assert_array_equal(model.last.conv.kernel[...], saved.last.conv.kernel[...])


def test_weights_of_another_net_are_refused_even_if_what_fits_is_asked_for(exported, tmp_path):
    def keep_the_head(tensors):
        for name in [name for name in tensors if not name.startswith("classifier.")]:
            del tensors[name]

    path = change(exported, tmp_path, keep_the_head)
    with pytest.raises(ValueError, match=r"of the 262 tensors that MobileNetV2 has in .* it has 2$"):
        zoo.create_model("mobilenet_v2", weights=path, strict=False, **SMALL)
    with pytest.raises(ValueError, match=r"6 of the 262 tensors of MobileNetV2 fit, and less than half is too few"):
        zoo.create_model("mobilenet_v2", weights=exported, strict=False, **SMALL | {"width": 1.0})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_their_names(exported, tmp_path, value):
    def spoil(tensors):
        tensors["features.18.0.weight"][3, 2] = value
        tensors["features.18.1.running_var"][-1] = value

    path = change(exported, tmp_path, spoil)
    with pytest.raises(ValueError, match=r"holds NaN or infinity in last\.conv\.kernel, last\.norm\.var$"):
        zoo.create_model("mobilenet_v2", weights=path, **SMALL)


def test_numbers_beyond_float32_and_of_other_types_are_refused(exported, tmp_path):
    def widen(tensors):
        tensors["classifier.1.bias"] = np.full(10, 1e300)

    with pytest.raises(ValueError, match=r"holds NaN or infinity in head\.bias$"):
        zoo.create_model("mobilenet_v2", weights=change(exported, tmp_path, widen), **SMALL)

    def replace(tensors):
        tensors["classifier.1.bias"] = np.zeros(10, np.int64)

    message = message_for(change(exported, tmp_path, replace))
    assert "classifier.1.bias is of int64, which is no floating-point type" in message


def test_nothing_is_allocated_before_the_shapes_are_known_to_fit(exported):
    """A net of that width would take 149 TiB."""
    with pytest.raises(ValueError, match=r"features\.0\.0\.weight .* the model's has \(3200000, 3, 3, 3\)"):
        zoo.create_model("mobilenet_v2", weights=exported, width=1e5)


def test_a_context_module_stays_new_where_the_classes_are_others(tmp_path):
    saved = nnx.eval_shape(lambda: zoo.create_model("dilatednet", num_classes=4, small_images=True))
    tensors = {name: np.zeros(variable.shape, np.float32) for name, variable in variables(saved).items()}
    write_tensors(tmp_path / "w.safetensors", tensors, {})
    model = nnx.eval_shape(lambda: zoo.create_model("dilatednet", num_classes=6, small_images=True))
    fitting = fit_weights(model, find_checkpoint(tmp_path / "w.safetensors"), strict=True)
    assert {name.split(".")[0] for name in variables(model).keys() - fitting.tensors} == {"head", "context"}
    assert {"head.fc6.conv.kernel", "head.fc7.conv.kernel"} <= fitting.tensors.keys()


def test_another_number_of_classes_keeps_the_body_and_says_so(exported):
    with pytest.warns(UserWarning, match=r"another number of classes: head\.bias, head\.kernel stay newly initialised"):
        model = zoo.create_model("mobilenet_v2", weights=exported, **SMALL | {"num_classes": 3})
    assert model.head.bias.shape == (3,)
    saved = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(7), **SMALL)
    np.testing.assert_array_equal(model.last.conv.kernel[...], saved.last.conv.kernel[...])


def test_a_file_of_our_own_keeps_its_body_likewise(tmp_path):
    saved = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(7), **SMALL)
    save_weights(saved, tmp_path / "w.safetensors")
    with pytest.warns(UserWarning, match=r"head\.bias, head\.kernel stay newly initialised"):
        model = zoo.create_model("mobilenet_v2", weights=tmp_path / "w.safetensors", **SMALL | {"num_classes": 3})
    np.testing.assert_array_equal(model.last.conv.kernel[...], saved.last.conv.kernel[...])
    assert zoo.create_model("mobilenet_v2", width=0.35, weights=tmp_path / "w.safetensors").head.bias.shape == (10,)


def test_the_number_of_classes_is_that_of_the_weights_unless_given(exported):
    model = zoo.create_model("mobilenet_v2", weights=exported, width=0.35)
    assert model.head.bias.shape == (10,)


def test_epsilon_is_that_of_the_weights_unless_a_norm_is_given(exported, tmp_path):
    def epsilon(**options):
        model = zoo.create_model("mobilenet_v2", **SMALL | options)
        return model.stem.norm.epsilon

    def norm(*arguments, **options):
        return BatchNorm(*arguments, epsilon=0.01, **options)

    save_weights(zoo.create_model("mobilenet_v2", norm=norm, **SMALL), tmp_path / "ours.safetensors")
    assert epsilon(weights=tmp_path / "ours.safetensors") == 0.01
    assert epsilon(weights=exported) == 1e-5
    assert epsilon(weights=exported, norm=norm) == 0.01


def test_a_run_tells_its_options(tmp_path):
    model = zoo.create_model("mobilenet_v2", **SMALL)
    description = {"model": "mobilenet_v2", "options": {"width": 0.35, "small_images": True}}
    save_weights(model, tmp_path / "weights.safetensors", description)
    loaded = zoo.create_model("mobilenet_v2", weights=tmp_path)  # the directory of the run
    assert loaded.feature_strides == model.feature_strides
    assert loaded.head.bias.shape == (10,)


def test_any_module_takes_its_own_weights(tmp_path):
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    save_weights(layer, tmp_path / "w.safetensors")
    other = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    load_weights(other, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(layer(jnp.ones((1, 2))), other(jnp.ones((1, 2))))


def test_a_net_without_a_head_takes_the_body(exported):
    whole = fit_weights(abstract(), find_checkpoint(exported), strict=True).tensors
    body = fit_weights(abstract(num_classes=0), find_checkpoint(exported), strict=True)
    assert whole.keys() - body.tensors.keys() == {"head.kernel", "head.bias"}
    assert body.warnings == ()


def test_a_net_without_a_head_comes_back_without_one(tmp_path):
    options = {"width": 0.25, "num_classes": 0, "small_images": True}
    model = zoo.create_model("mobilenet_v1", **options)
    save_weights(model, tmp_path / "body.safetensors", {"model": "mobilenet_v1", "options": options})
    assert zoo.create_model("mobilenet_v1", weights=tmp_path / "body.safetensors").head is None


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize(
    ("in_channels", "how"),
    [
        (1, "3 channels: {} is summed over its inputs"),
        (4, "3 channels: {} is repeated to 4 inputs and multiplied by 3/4"),
        (2, "3 channels: {} is repeated to 2 inputs and multiplied by 3/2"),
    ],
)
def test_weights_for_colours_take_images_of_other_channels(exported, tmp_path, ours, in_channels, how):
    colours = fit_weights(abstract(), find_checkpoint(exported), strict=True).tensors
    path = exported
    if ours:
        path = tmp_path / "w.safetensors"
        write_tensors(path, colours, {})
    fitting = fit_weights(abstract(in_channels=in_channels), find_checkpoint(path), strict=True)
    kernel = "stem.conv.kernel" if ours else "features.0.0.weight"
    assert fitting.warnings == (f"{path} is for images of {how.format(kernel)}",)
    before, after = colours["stem.conv.kernel"], fitting.tensors["stem.conv.kernel"]
    if in_channels == 1:
        np.testing.assert_allclose(after, before.sum(2, keepdims=True), rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(after, before[:, :, [0, 1, 2, 0][:in_channels]] * 3 / in_channels, rtol=1e-6)
    np.testing.assert_array_equal(fitting.tensors["head.kernel"], colours["head.kernel"])


def file_of_classifier(name, library, tmp_path, edit=lambda tensors: None):
    """All of a narrow classifier, with numbers that tell the tensors apart."""
    model = nnx.eval_shape(lambda: zoo.create_model(name, width=0.25, small_images=True, num_classes=10))
    shapes = {path: variable.shape for path, variable in variables(model).items()}
    if library is not None:
        shapes = {there.name: there.shape for there in torch_tensors(model, name_maps(model)[library]).values()}
    tensors = {path: np.full(shape, number, np.float32) for number, (path, shape) in enumerate(shapes.items())}
    edit(tensors)
    write_tensors(tmp_path / "classifier.safetensors", tensors, {})
    return tmp_path / "classifier.safetensors"


DENSE = {
    "resnet18": ("fcn_resnet50", {"body": "resnet18"}),
    "mobilenet_v2": ("deeplab_v3_mobilenet_v2", {}),
    "mobilenet_v3_large": ("deeplab_v3_mobilenet_v3_large", {}),
}


@pytest.mark.parametrize("library", [None, "torchvision", "timm"])
@pytest.mark.parametrize("classifier", DENSE)
def test_weights_of_a_classifier_become_the_body(classifier, library, tmp_path):
    name, options = DENSE[classifier]
    path = file_of_classifier(classifier, library, tmp_path)
    model = nnx.eval_shape(lambda: zoo.create_model(name, width=0.25, small_images=True, num_classes=4, **options))
    fitting = fit_weights(model, find_checkpoint(path), strict=True)
    assert fitting.tensors.keys() == variables(model.body).keys()
    assert fitting.warnings == (
        f"{path} is of a classifier and becomes the body: what it has after the features is not used, and newly "
        "initialised here: head",
    )


def test_a_body_is_loaded_and_the_heads_are_new(tmp_path):
    path = file_of_classifier("resnet18", "torchvision", tmp_path)
    options = {"body": "resnet18", "width": 0.25, "small_images": True, "num_classes": 4, "auxiliary_heads": True}
    with pytest.warns(UserWarning, match="newly initialised here: auxiliary_heads, head"):
        model = zoo.create_model("fcn_resnet50", weights=path, **options)
    new = zoo.create_model("fcn_resnet50", **options)
    numbers = variables(model)
    assert len({float(number) for number in np.unique(numbers["body.stages.1.0.conv1.conv.kernel"][...])}) == 1
    for place in ("head.classify.kernel", "auxiliary_heads.0.hidden.conv.kernel"):
        np.testing.assert_array_equal(numbers[place][...], variables(new)[place][...])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors: tensors.pop("bn1.weight"), "bn1.weight is missing"),
        (lambda tensors: tensors.update({"neck.weight": np.zeros(1, np.float32)}), "neck.weight has no place"),
        (lambda tensors: tensors.update({"bn1.bias": np.zeros(3, np.float32)}), r"bn1.bias has shape \(3,\)"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(edit, message, tmp_path):
    path = file_of_classifier("resnet18", "torchvision", tmp_path, edit)
    with pytest.raises(ValueError, match=message):
        zoo.create_model("fcn_resnet50", weights=path, body="resnet18", width=0.25, small_images=True)


def test_the_weights_of_the_whole_net_are_still_those_of_the_whole_net(tmp_path):
    model = nnx.eval_shape(lambda: zoo.create_model("fcn_resnet50", body="resnet18", width=0.25, small_images=True))
    tensors = torch_tensors(model, name_maps(model)["torchvision"]).values()
    write_tensors(tmp_path / "w.safetensors", {there.name: np.ones(there.shape, np.float32) for there in tensors}, {})
    fitting = fit_weights(model, find_checkpoint(tmp_path / "w.safetensors"), strict=True)
    assert fitting.tensors.keys() == variables(model).keys()
    assert fitting.warnings == ()
