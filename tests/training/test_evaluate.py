from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import zoo
from tests.e2e.processes import THREE_EPOCHS, Ended, figures, start_training
from tests.e2e.tiny_train import Tiny
from zoo import registry
from zoo.blocks import Conv
from zoo.cli import main
from zoo.training.evaluate import evaluate
from zoo.weights.safetensors import read_tensors, write_tensors

OPTIONS = {"num_classes": 3, "small_images": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the tiny net, which keeps averages."""
    root, output = (tmp_path_factory.mktemp(name) for name in ("run", "output"))
    process = start_training([*THREE_EPOCHS, "--devices", "1", "--output", str(root)], output)
    assert Ended.of(process, output).returncode == 0
    return root


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(registry, "_models", registry._models.copy())
    zoo.register("tiny", Tiny, zoo.ModelInfo("", 32, 0), num_classes=10)


def test_a_run_is_evaluated_as_it_did_itself_to_the_bit(run):
    result, last = evaluate(run), figures(run)[-1]
    assert (result.model, result.data, result.evaluation.examples) == ("tiny", "shapes", 40)
    assert (result.evaluation.loss, result.evaluation.accuracy) == (last["test_loss"], last["test_accuracy"])
    assert result.class_names[:2] == ("circle", "ring")


def test_a_run_without_weights_says_how_to_get_them(run, tmp_path):
    (tmp_path / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(FileNotFoundError, match=f"has no weights yet; --resume {tmp_path} finishes it"):
        evaluate(tmp_path)


@pytest.fixture
def dark_or_light(tmp_path):
    """Weights that tell dark pictures from light ones, and ones without names; the channels are the classes."""
    model = Tiny(3, small_images=True, dtype=None, rngs=nnx.Rngs(0))
    description = {"model": "tiny", "options": OPTIONS, "class_names": ["dark", "light", "odd"]}
    usual = {"image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    zoo.save_weights(model, tmp_path / "w.safetensors", description | usual)
    tensors, _ = read_tensors(tmp_path / "w.safetensors")
    for name, tensor in tensors.items():
        if name in ("stem.conv.kernel", "head.kernel", "head.bias"):
            tensor[...] = 0
    tensors["stem.conv.kernel"][..., 0] = 1
    tensors["head.kernel"][0] = [0, 10, 0]
    tensors["head.bias"][...] = [1, 0, -9]
    write_tensors(tmp_path / "w.safetensors", tensors, description | usual)
    write_tensors(tmp_path / "nameless.safetensors", tensors, {"model": "tiny", "options": OPTIONS} | usual)
    return tmp_path


class Brightness(zoo.Segmenter):
    """Dark pixels are of class 0, light ones of class 1, and none of class 2."""

    def __init__(self, num_classes=3, *, dtype=None, rngs):
        self.body = Tiny(3, small_images=True, rngs=rngs)
        self.classify = Conv(3, num_classes, 1, use_bias=True, rngs=rngs)
        self.classify.kernel[...] = jnp.zeros((1, 1, 3, num_classes)).at[..., 1].set(1)
        self.classify.bias[...] = jnp.array([0, 0, -9])
        self.auxiliary_heads = nnx.List([])

    def __call__(self, x):
        return self.classify(x)

    def layers_of_classes(self):
        return ("classify",)


@pytest.fixture
def brightness(tmp_path):
    """Weights of `Brightness` with names, and without."""
    zoo.register("brightness", Brightness, zoo.ModelInfo("", 4, 0, task="segmentation"))
    said = {"model": "brightness", "options": {}, "image_size": 4, "mean": [0.5] * 3, "std": [0.5] * 3}
    model = Brightness(rngs=nnx.Rngs(0))
    zoo.save_weights(model, tmp_path / "w.safetensors", {**said, "class_names": ["dark", "light", "odd"]})
    zoo.save_weights(model, tmp_path / "nameless.safetensors", said)
    return tmp_path


def draw_halves(folder, classes):
    """A picture of 4 x 8 pixels, the upper half dark and the lower light, and a mask with these two classes."""
    halves = np.repeat(np.array([0, 1], np.uint8), 2)[:, None].repeat(8, 1)
    for name, pixels in (("images", np.stack([250 * halves] * 3, -1)), ("masks", np.array(classes, np.uint8)[halves])):
        (folder / name).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / name / "a.png")


@pytest.mark.parametrize("split", ["", "test"])
def test_own_masks_hold_the_classes_of_the_net_or_those_of_their_own_names(brightness, split, capsys):
    photos = brightness / "photos"
    draw_halves(photos / split, classes=[0, 2])
    result = evaluate(brightness / "w.safetensors", str(photos))
    # At 4 x 4 pixels, of which the lower two rows are padding.
    np.testing.assert_array_equal(result.evaluation.confusion, [[4, 0, 0], [0, 0, 0], [0, 4, 0]])
    assert result.class_names == ("dark", "light", "odd")
    (note,) = result.notes
    assert "no classes.txt: the 3 classes of the net" in note
    assert evaluate(brightness / "nameless.safetensors", str(photos)).class_names == ("class 0", "class 1", "class 2")

    (photos / "classes.txt").write_text("dark\nodd\nlight\n")
    assert main(["eval", str(brightness / "w.safetensors"), "--data", str(photos), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["data"], values["accuracy"]) == ("photos", 1.0)
    (photos / "classes.txt").write_text("dark\ngreen\nlight\n")
    with pytest.raises(ValueError, match="does not know the classes green of photos; it knows dark, light, odd"):
        evaluate(brightness / "w.safetensors", str(photos))


def test_views_of_a_segmentation_net_are_averaged(brightness, capsys):
    photos, weights = brightness / "photos", brightness / "w.safetensors"
    draw_halves(photos, classes=[0, 1])
    plain = evaluate(weights, str(photos)).evaluation
    # A net that sees single pixels takes mirror images and windows alike.
    alike = evaluate(weights, str(photos), flip=True, window=2).evaluation
    assert alike.loss == pytest.approx(plain.loss, rel=1e-5)
    assert main(["eval", str(weights), "--data", str(photos), "--scales", "0.5", "1", "--window", "3", "--json"]) == 0
    printed = capsys.readouterr()
    assert "averaged over the image at the scales 0.5, 1, in windows of 3 pixels\n" in printed.err
    assert json.loads(printed.out)["loss"] > plain.loss + 0.01  # at half of the size borders blur
    assert main(["eval", str(weights), "--data", str(photos), "--scales", "0"]) == 2
    assert "zoo: error: scales must be one or more numbers above 0, not (0.0,)\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--flip"], ["--window", "8"], ["--scales", "0.5", "2"]])
def test_classifiers_have_no_views_to_average(run, option, capsys):
    assert main(["eval", str(run), *option]) == 2
    message = "zoo: error: views are averaged of the pixels of segmentation nets, not of a Tiny\n"
    assert capsys.readouterr().err == message


def draw(folder, **pictures):
    for name, values in pictures.items():
        (folder / name).mkdir(parents=True)
        for number, value in enumerate(values):
            Image.new("RGB", (40, 40), (value,) * 3).save(folder / name / f"{number}.png")


@pytest.mark.parametrize("split", ["", "val"])
def test_own_pictures_are_known_by_the_names_of_their_classes(dark_or_light, split):
    draw(dark_or_light / "photos" / split, light=[250, 240, 3], dark=[0])  # in another order than the net's
    result = evaluate(dark_or_light / "w.safetensors", str(dark_or_light / "photos"))
    np.testing.assert_array_equal(result.evaluation.confusion, [[1, 0, 0], [1, 2, 0], [0, 0, 0]])
    assert result.class_names == ("dark", "light", "odd")
    assert (result.data, result.notes) == ("photos", ("4 pictures, 2 classes",))


def test_classes_that_the_net_does_not_know_are_refused(dark_or_light):
    draw(dark_or_light / "photos", light=[250], green=[0], blue=[0])
    message = "does not know the classes blue, green of photos; it knows dark, light, odd"
    with pytest.raises(ValueError, match=message):
        evaluate(dark_or_light / "w.safetensors", str(dark_or_light / "photos"))
    nameless = evaluate(dark_or_light / "nameless.safetensors", str(dark_or_light / "photos"))
    assert nameless.class_names == ("blue", "green", "light")
    draw(dark_or_light / "photos", red=[0])
    with pytest.raises(ValueError, match="tells 3 classes apart, whose names it does not say, and photos has 4"):
        evaluate(dark_or_light / "nameless.safetensors", str(dark_or_light / "photos"))


def test_weights_must_be_told_on_what(dark_or_light):
    with pytest.raises(ValueError, match=r"w\.safetensors is no run, which would know its data; say by --data"):
        evaluate(dark_or_light / "w.safetensors")


def test_the_command_prints_tables_or_json_and_draws(run, tmp_path, capsys):
    assert main(["eval", str(run), "--confusion-matrix", str(tmp_path / "c.png")]) == 0
    table = capsys.readouterr().out
    assert "accuracy" in table
    assert "hourglass" in table
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.size == (1350, 1200)
    assert main(["eval", str(run), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["loss"] == figures(run)[-1]["test_loss"]
    assert values["classes"][0]["name"] == "circle"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{absent}"], "{absent} is no run, which would know its data; say by --data on what to evaluate"),
        (["{absent}", "--data", "shapes"], "there are no weights at {absent}"),
        (["{run}", "--data", "{absent}"], "there is no directory {absent}"),
        (["{run}", "--data", "{folder}"], "{folder} has no folders; there must be one for each class"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(run, tmp_path, capsys, arguments, message):
    places = {"absent": tmp_path / "absent", "run": run, "folder": tmp_path / "folder"}
    (tmp_path / "folder").mkdir()
    assert main(["eval", *(argument.format(**places) for argument in arguments)]) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"zoo: error: {message.format(**places)}")
    assert written.count("\n") == 1
