from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import zoo
from tests.e2e.tiny_train import Tiny
from zoo import registry
from zoo.blocks import BatchNorm
from zoo.cli import main
from zoo.cli.tune import _print_convolutions
from zoo.ops.lowering.geometry import ConvGeometry, Problem
from zoo.ops.lowering.measured import Measurement, Measurements
from zoo.tuning.step import Step
from zoo.weights.safetensors import read_tensors, save_weights


def lines_of(capsys, *argv: str) -> list[str]:
    assert main(argv) == 0
    return capsys.readouterr().out.splitlines()


def test_list_shows_every_model_with_its_published_figures(capsys):
    lines = lines_of(capsys, "list")
    assert [line.split()[0] for line in lines[2:]] == zoo.list_models()

    def row(name: str) -> str:
        return " ".join(next(line for line in lines if line.startswith(f"{name} ")).split())

    assert row("mobilenet_v2") == "mobilenet_v2 classification 3,504,872 300.0 M 224 72.0 % 1801.04381"
    assert row("mobilenet_v2_x0_5") == "mobilenet_v2_x0_5 classification 1.950 M 97.00 M 224 65.4 % 1801.04381"
    assert row("nin_root4") == "nin_root4 classification 455,498 32 1605.06489"


def test_list_takes_a_task(capsys):
    lines = lines_of(capsys, "list", "fcn_*", "--task", "segmentation")
    assert [line.split()[0] for line in lines[2:]] == ["fcn_resnet101", "fcn_resnet50"]
    assert "60.5 % of COCO val2017, VOC's classes" in lines[3]


def test_list_takes_a_pattern(capsys):
    lines = lines_of(capsys, "list", "resnext29_*")
    assert [line.split()[0] for line in lines[2:]] == zoo.list_models("resnext29_*")


def test_list_shows_the_weights_of_models(capsys):
    lines = lines_of(capsys, "list", "shufflenet_v2_x0_5", "--weights")
    assert [line.split()[0] for line in lines[2:4]] == [
        "zoo/shufflenet_v2_x0_5.cifar10",
        "torchvision/ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1",
    ]
    card = Path(lines[-1].split(": ")[1])
    assert "Test accuracy" in card.read_text()


def test_whoever_stops_reading_gets_no_message():
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("name", ["shufflenet_v1_x1_0_g3", "mobilenet_v4_conv_small", "googlenet", "drn_d_22"])
def test_summary_fits_100_columns_and_adds_up(name, capsys):
    lines = lines_of(capsys, "summary", name)
    assert max(map(len, lines)) <= 100
    table = lines[3 : lines.index("")]
    shares = [float(line.split()[-1].rstrip("%")) for line in table if not line.startswith(" ")]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    parameters = f"{zoo.model_info(name).parameters:,} parameters"
    assert parameters in lines[-2]
    assert parameters in lines[-1]


def test_summary_goes_as_deep_as_asked(capsys):
    flat = lines_of(capsys, "summary", "nin", "--depth", "1")
    assert not any(line.startswith(" ") for line in flat[3:])
    deep = lines_of(capsys, "summary", "mobilenet_v2", "--depth", "4", "--input", "64")
    assert any(line.startswith("      conv ") for line in deep)
    (stage,) = (line.split() for line in deep if line.startswith("stage5 "))
    assert stage[1:3] == ["2x2x320", "491"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["list", "no_such_*"], "no model matches 'no_such_*'; `zoo list` shows them all"),
        (["summary", "mobilenetv2"], "unknown model 'mobilenetv2'; nearest: mobilenet_v2"),
        (["summary", "nin", "--input", "0"], "--input 0 must be at least 1"),
        (["summary", "nin", "--depth", "0"], "--depth 0 must be at least 1"),
        (["tune", "mobilenetv2"], "unknown model 'mobilenetv2'; nearest: mobilenet_v2"),
        (["tune", "nin", "--batch", "0"], "--batch 0 must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(argv, message, capsys):
    assert main(argv) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"zoo: error: {message}")
    assert written.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_tune_measures_once_and_then_shows_what_it_found(training, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_models", registry._models.copy())
    zoo.register("tiny", Tiny, zoo.ModelInfo("", 32, 0), num_classes=10)
    argv = ["tune", "tiny", "--batch", "2", "--input", "16", *["--training"] * training]
    first = lines_of(capsys, *argv)
    (file,) = (tmp_path / "zoo" / "lowerings").iterdir()
    what = "training step" if training else "prediction"
    assert first[0].startswith(f"a {what} of tiny, 2 images of 16x16, float32, on ")
    directions = {"forward", "kernel gradient"} if training else {"forward"}
    rows = [line for line in first if line.startswith("3x3 3->16 s4 16px ")]
    assert {row.removeprefix("3x3 3->16 s4 16px ").partition("  ")[0] for row in rows} == directions
    assert first[-2].startswith(f"the whole {what}: ")
    assert first[-1] == f"written to {file}"
    written = file.read_bytes()
    assert lines_of(capsys, *argv) == [*first[:-1], f"read from {file}; --again measures again"]
    assert file.read_bytes() == written


def test_tune_shows_what_a_step_saves(capsys):
    geometries = [ConvGeometry((8, 8), 4, (k, k, 4, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1) for k in (3, 1)]
    problems = [Problem(geometry, "forward", 2, np.dtype("float32")) for geometry in geometries]
    table = Measurements("", of={
        problems[0]: Measurement({"dense": 0.004, "winograd": float("inf"), "native": 0.003}, None),
        problems[1]: Measurement({"pointwise": 0.008, "dense": 0.006, "native": 0.5}, "dense"),
    })  # fmt: skip
    _print_convolutions(Step(True, {problems[0]: 9, problems[1]: 3}, lambda: lambda: 0.0), table, "cpu")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [
        ["1x1", "4->4", "8px", "forward", "3", "500", "pointwise", "8", "dense", "6", "6"],
        ["3x3", "4->4", "8px", "forward", "9", "3", "dense", "4", "native", "3"],
    ]


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    """Of a net that tells dark pictures from light ones, in this order."""
    folder = tmp_path_factory.mktemp("run")
    options = {"width": 0.35, "num_classes": 2, "small_images": True}
    model = zoo.create_model("mobilenet_v2", **options)
    model.head.kernel[...] = model.head.kernel[...] * 0
    description = {
        "model": "mobilenet_v2",
        "options": options,
        "class_names": ["dark", "light"],
        "image_size": 32,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    }
    model.head.bias[...] = jnp.array([0.0, np.log(3.0)])
    save_weights(model, folder / "weights.safetensors", description)
    return folder


def test_convert_writes_names_of_the_library_that_load_back(run_directory, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    lines = lines_of(capsys, "convert", str(run_directory), str(out), "--to", "timm")
    assert lines[0] == f"{out}: mobilenet_v2 for timm"
    assert "set the first strides of timm's net to 1" in lines[1]
    tensors, _ = read_tensors(out)
    assert tensors["blocks.0.0.conv_dw.weight"].shape == (16, 1, 3, 3)
    ours = zoo.create_model("mobilenet_v2", weights=run_directory)
    again = zoo.create_model("mobilenet_v2", weights=out)
    np.testing.assert_array_equal(ours.last.conv.kernel[...], again.last.conv.kernel[...])


def test_predict_prints_the_classes_of_each_picture_by_likelihood(run_directory, tmp_path, capsys):
    pictures = [str(tmp_path / f"{number}.png") for number in range(2)]
    for picture in pictures:
        Image.new("RGB", (40, 30)).save(picture)
    lines = lines_of(capsys, "predict", *pictures, "--weights", str(run_directory))
    assert lines == [pictures[0], "   75.00%  light", "   25.00%  dark", pictures[1], *lines[1:3]]


def test_predict_takes_folders_and_prints_json(run_directory, tmp_path, capsys):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for picture in ("b.png", "more/a.JPG", "more/.hidden.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / "photos" / picture)
    (tmp_path / "photos" / "notes.txt").write_text("")
    argv = ["predict", str(tmp_path / "photos"), "--weights", str(run_directory), "--json", "--top", "1"]
    assert main(argv) == 0
    printed = capsys.readouterr()
    answers = [json.loads(line) for line in printed.out.splitlines()]
    assert [answer["picture"] for answer in answers] == [
        str(tmp_path / "photos" / picture) for picture in ("b.png", "more/a.JPG")
    ]
    assert all(
        answer["classes"] == [{"name": "light", "probability": pytest.approx(0.75, rel=1e-5)}] for answer in answers
    )
    assert printed.err == f"{tmp_path / 'photos'}: 2 other files passed over\n"


def test_predict_computes_without_batch_norms(run_directory, tmp_path, capsys, monkeypatch):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(BatchNorm, "_normalized", None)
    assert "   75.00%  light" in lines_of(capsys, "predict", str(tmp_path / "a.png"), "--weights", str(run_directory))


def test_predict_names_what_it_cannot_read_and_classifies_the_rest(run_directory, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(import_module("zoo.cli.predict"), "_BATCH", 2)
    good = [str(tmp_path / f"{number}.png") for number in range(3)]
    for picture in good:
        Image.new("RGB", (40, 30)).save(picture)
    bad = [str(tmp_path / "absent.png"), str(tmp_path / "text.png")]
    (tmp_path / "text.png").write_text("no picture")
    reasons = ["No such file or directory", "Pillow knows no such format"]
    complaints = "".join(
        f"zoo: error: cannot read the picture {path}: {reason}\n" for path, reason in zip(bad, reasons, strict=True)
    )
    assert main(["predict", bad[0], *good, bad[1], "--weights", str(run_directory)]) == 1
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if not line.startswith(" ")] == good
    assert printed.out.count("75.00%  light") == 3
    assert printed.err == complaints
    assert main(["predict", *bad, "--weights", str(run_directory)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", complaints)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["predict", "--weights", "w.safetensors"], "there are no images"),
        (["predict", "a.png", "--weights", "w.safetensors", "--top", "0"], "--top must be at least 1, not 0"),
        (["predict", ".", "--weights", "w.safetensors"], ". has no pictures (.avif, .bmp"),
        (["predict", "a.png", "--weights", "absent.safetensors"], "there are no weights at absent.safetensors"),
        (["convert", "absent.safetensors", "o.safetensors", "--to", "timm"], "there are no weights at absent.safeten"),
    ],
)
def test_a_missing_file_is_one_line_and_status_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(f"zoo: error: {message}")


def test_weights_that_do_not_tell_their_model_need_its_name(tmp_path, capsys):
    save_weights(zoo.create_model("mobilenet_v2", width=0.35), tmp_path / "w.safetensors")
    assert main(["convert", str(tmp_path / "w.safetensors"), str(tmp_path / "o.safetensors"), "--to", "timm"]) == 2
    assert "does not tell which model it is of; name it by --model" in capsys.readouterr().err


def make_segmenter(tmp_path: Path) -> Path:
    """Weights of a net that takes dark pixels for class 0 and bright ones for class 1."""
    net = zoo.create_model("lraspp_mobilenet_v3_large", num_classes=2, width=0.25, small_images=True)
    path = tmp_path / "net.safetensors"
    options = {"num_classes": 2, "width": 0.25, "small_images": True}
    description = {"model": "lraspp_mobilenet_v3_large", "options": options, "class_names": ["dark", "bright"]}
    save_weights(net, path, {**description, "image_size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3})
    return path


def test_segment_writes_masks_and_overlays_of_the_size_of_the_pictures(tmp_path, capsys, monkeypatch):
    weights = make_segmenter(tmp_path)

    def brightness(net, x):
        return jnp.stack([-x.mean(-1), x.mean(-1)], -1)

    monkeypatch.setattr(zoo.Segmenter, "__call__", brightness)
    monkeypatch.setattr(zoo, "fuse", lambda net: net)
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, 20:] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    argv = ["segment", str(tmp_path / "wide.png"), str(tmp_path / "broken.png"), "--weights", str(weights)]
    for more in ((), ("--crf",)):
        assert main([*argv, "--output", str(tmp_path / "out"), *more]) == 1
        output = capsys.readouterr()
        assert "broken.png" in output.err
        assert output.out.splitlines()[0] == f"{tmp_path / 'wide.png'} -> {tmp_path / 'out' / 'wide.png'}"
        assert [line.split()[1] for line in output.out.splitlines()[1:]] == ["bright", "dark"]
        with Image.open(tmp_path / "out" / "wide.png") as mask:
            assert (mask.mode, mask.size, mask.getpalette()[3:6]) == ("P", (60, 30), [128, 0, 0])
            expected = np.arange(60) >= 20
            np.testing.assert_array_equal(np.asarray(mask)[:, expected][:, 2:], 1)
            np.testing.assert_array_equal(np.asarray(mask)[:, ~expected][:, :-2], 0)
        with Image.open(tmp_path / "out" / "wide-overlay.png") as overlay:
            assert overlay.size == (60, 30)
            assert overlay.getpixel((50, 10)) == (191, 127, 127)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["wide-overlay.png", "wide.png"]


def test_segment_writes_over_no_picture(tmp_path, capsys, run_directory):
    weights = str(make_segmenter(tmp_path))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "x.png")
    both = [str(tmp_path / folder / "x.png") for folder in ("a", "b")]
    assert main(["segment", *both, "--weights", weights, "--output", str(tmp_path / "out")]) == 2
    assert "would both be written to" in capsys.readouterr().err
    assert main(["segment", both[0], "--weights", weights, "--output", str(tmp_path / "a")]) == 2
    assert "would be written over a picture" in capsys.readouterr().err
    assert main(["segment", both[0], "--weights", str(run_directory), "--output", str(tmp_path / "out")]) == 2
    assert "gives one label an image; `zoo predict` shows it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
