"""From a folder of pictures to a net in use, by the commands alone; and fine-tuning from torchvision's weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image, features

import zoo
from tests.e2e.processes import Ended, figures, start_training
from tests.e2e.tiny_train import Tiny
from zoo import registry
from zoo.cli import main
from zoo.preprocessing import Preprocessing
from zoo.weights.export import export_weights
from zoo.weights.safetensors import read_tensors, variables

RED, BLUE, GREY = (200, 40, 30), (30, 50, 190), (120, 120, 120)


def draw(color: tuple[int, int, int], seed: int) -> Image.Image:
    """A picture of one colour with some noise."""
    noise = np.random.default_rng(seed).integers(-25, 26, (36, 44, 3))
    return Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8))


def plain(color: tuple[int, int, int], seed: int) -> Image.Image:
    """A picture of about one colour, whose differences a net of random weights does not blow up."""
    shift = np.random.default_rng(seed).integers(-20, 21, 3)
    return Image.new("RGB", (120, 100), tuple((np.array(color) + shift).clip(0, 255).tolist()))


def save_oddly(folder: Path, color: tuple[int, int, int]) -> int:
    """Pictures as people have them; gives their number."""
    picture = draw(color, 99)
    (folder / "more" / "even more").mkdir(parents=True)
    for name in ("a.bmp", "b.tiff", "c.gif", "d.webp", "e.jfif", "more/f.JPG", "more/even more/g.png"):
        picture.save(folder / name, format="JPEG" if name.endswith("jfif") else None)
    picture.quantize().save(folder / "palette.png")
    picture.convert("RGBA").save(folder / "rgba.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.full((36, 44), sum(color) * 80, np.uint16)).save(folder / "16 bits.png")
    rotated = Image.Exif()
    rotated[274] = 6
    picture.save(folder / "rotated.jpg", exif=rotated)
    count = 12
    if features.check("avif"):
        picture.save(folder / "h.avif")
        count += 1
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._a.jpg").write_bytes(b"")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "readme.txt").write_text("Holidays")
    (folder / "folder.jpg").mkdir()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return count


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for name, color in (("red", RED), ("blue", BLUE)):
        assert save_oddly(root / name, color) >= 12
        for number in range(12):
            draw(color, number).save(root / name / f"plain {number}.png")
    return root


def train(output: Path, *arguments: str) -> str:
    process = start_training([*arguments, "--devices", "1", "--no-compilation-cache"], output)
    ended = Ended.of(process, output)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run_zoo(capsys, *arguments: str | Path) -> str:
    capsys.readouterr()
    status = main([*map(str, arguments)])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out


@pytest.mark.slow
def test_the_road_from_pictures_to_a_net_in_use(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(registry, "_models", registry._models.copy())
    zoo.register("tiny", Tiny, zoo.ModelInfo("", 32, 0), num_classes=10)
    first, second = tmp_path / "first", tmp_path / "second"
    of_data = ["--data.name", "image_folder", "--data.directory", str(photos), "--data.test-share", "0.25"]
    of_data += ["--data.skip-unreadable", "--model.name", "tiny", "--model.width", "None", "--batch-size", "8"]
    said = train(tmp_path / "1", *of_data, "--epochs", "4", "--output", str(first))
    assert "2 unreadable pictures skipped, the first is blue/broken.jpg" in said
    assert "6 entries ignored (4 hidden, 2 .txt)" in said
    said = train(tmp_path / "2", *of_data, "--epochs", "2", "--model.weights", str(first), "--output", str(second),
                 "--optimizer.name", "adam", "--optimizer.freeze", "stem", "--balance", "sampling")  # fmt: skip
    assert f"starts from {first}" in said

    evaluated = json.loads(run_zoo(capsys, "eval", first, "--json"))
    last = figures(first)[-1]
    assert (evaluated["loss"], evaluated["accuracy"]) == (last["test_loss"], last["test_accuracy"])
    assert [each["name"] for each in evaluated["classes"]] == ["blue", "red"]
    rows = [line.split() for line in run_zoo(capsys, "compare", first, second).splitlines()]
    assert ["optimizer.name", "sgd", "adam"] in rows

    (tmp_path / "new").mkdir()
    draw(RED, 100).save(tmp_path / "new" / "x.png")
    predicted = json.loads(run_zoo(capsys, "predict", tmp_path / "new", "--weights", second, "--json", "--top", "1"))
    assert predicted["classes"][0]["name"] == "red"

    for name in ("red", "blue"):
        (photos / name / "broken.jpg").unlink()
    (photos / "red" / "a.bmp").rename(photos / "red" / "z.bmp")
    process = start_training(["--resume", str(first)], tmp_path / "3")
    ended = Ended.of(process, tmp_path / "3")
    assert ended.returncode == 2
    assert ended.stderr.endswith(f"the data is not what {first} was trained on: the training examples changed; it "
                                 "cannot go on with it\n")  # fmt: skip
    assert ended.stderr.count("error: ") == 1

    for to, quantize in [("stablehlo", False), ("onnx", False), ("onnx", True), ("litert", False), ("litert", True)]:
        if to == "litert":
            pytest.importorskip("litert_converter")
        out = tmp_path / f"net.{to}"
        options = ["--quantize", "int8", "--calibrate", photos] if quantize else []
        run_zoo(capsys, "export", second, out, "--to", to, *options)  # loads it in a bare process, and compares
        description = json.loads((tmp_path / f"net.{to}.json").read_text())
        assert description["class_names"] == ["blue", "red"]
        assert description["error"] < 1e-4
        assert out.stat().st_size == description["bytes"]


@pytest.mark.slow
def test_a_head_is_learned_on_torchvisions_weights_whose_body_stays(tmp_path):
    """MobileNetV2 at 96 pixels on 300 pictures; the weights have torchvision's form, and random values."""
    photos = tmp_path / "photos"
    for name, color in (("red", RED), ("blue", BLUE), ("grey", GREY)):
        (photos / name).mkdir(parents=True)
        for number in range(100):
            plain(color, number).save(photos / name / f"{number}.jpg")
    weights = tmp_path / "mobilenet_v2.safetensors"
    body = zoo.create_model("mobilenet_v2", rngs=nnx.Rngs(3))
    some = [plain(color, number) for number in range(4) for color in (RED, BLUE, GREY)]
    nnx.jit(lambda body, images: body(images))(body, zoo.preprocess(some, Preprocessing(96, 96)))  # for its statistics
    export_weights(body, weights, to="torchvision")
    said = train(
        tmp_path / "output", "--model.name", "mobilenet_v2", "--model.width", "None", "--model.weights", str(weights),
        "--data.name", "image_folder", "--data.directory", str(photos), "--data.test-share", "0.2",
        "--data.image-size", "96", "--optimizer.freeze", "body",
        "--optimizer.name", "adam", "--optimizer.learning-rate", "0.005", "--augment.crop-padding", "0",
        "--batch-size", "20", "--eval-batch-size", "20", "--epochs", "8", "--output", str(tmp_path / "run"),
    )  # fmt: skip
    assert "2,223,872 parameters are frozen: body" in said
    trained, _ = read_tensors(tmp_path / "run" / "weights.safetensors")
    start = zoo.create_model("mobilenet_v2", weights=weights)
    for name, variable in variables(start).items():
        if not name.startswith("head."):
            np.testing.assert_array_equal(trained[name], variable[...], err_msg=name)
    assert trained["head.kernel"].shape == (1280, 3)
    assert figures(tmp_path / "run")[-1]["test_accuracy"] > 0.8
