"""Whole exports: what is written, what is said of it, and what is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import zoo
from tests.quick import output_of, randomise
from zoo.blocks import ConvNormAct, InvertedResidual
from zoo.cli import main
from zoo.export import ExportError, Net, export_net, read_net
from zoo.export import export as module
from zoo.export.apart import run_apart
from zoo.export.calibration import read_pictures
from zoo.models.lraspp import LRASPPHead
from zoo.preprocessing import Preprocessing, preprocess
from zoo.weights.safetensors import save_weights

SIZE = 16
PREPROCESSING = Preprocessing(SIZE, SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
CLASSES = ("circle", "square", "star")
INSTALLED = {
    to: all(find_spec(package.replace("-", "_")) for package in packages) for to, packages in module._PACKAGES.items()
}
needs = {to: pytest.mark.skipif(not INSTALLED[to], reason=f"the packages of {to}") for to in INSTALLED}


class Small(zoo.ImageClassifier):
    def __init__(self, num_classes: int = 3, *, rngs: nnx.Rngs) -> None:
        self.stem = ConvNormAct(3, 8, stride=2, rngs=rngs)
        self._init_stages([[InvertedResidual(8, 8, expansion_ratio=2, rngs=rngs)]], [2])
        self._init_head(8, num_classes, dropout=0.0, dtype=None, param_dtype=jnp.float32, rngs=rngs)


class SmallSegmenter(zoo.Segmenter):
    """Reads maps of stride 2 and 4, the latter pooled as well."""

    def __init__(self, num_classes: int = 3, *, rngs: nnx.Rngs) -> None:
        self.body = Small(rngs=rngs)
        self.coarse = ConvNormAct(8, 8, stride=2, rngs=rngs)
        self.head = LRASPPHead(8, 8, num_classes, pools_globally=True, rngs=rngs)
        self.auxiliary_heads = nnx.List([])

    def scores(self, outputs):
        *_, (*_, low) = outputs.values()
        return self.head(low, self.coarse(low))


@pytest.fixture(scope="module")
def net():
    model = Small(rngs=nnx.Rngs(0))
    randomise(model)
    return Net(model, PREPROCESSING, CLASSES, "small", "0" * 64)


@pytest.fixture
def pictures(tmp_path):
    """Forty pictures in two folders, one below the other, and a file that is none."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(0, 256, (20, 18, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("deep" if number % 2 else ".") / f"{number:02}.PNG")
    (folder / "notes.txt").write_text("nothing to see")
    return folder


@pytest.fixture
def run_directory(tmp_path, monkeypatch):
    """Of a registered net of the zoo's own training."""
    monkeypatch.setattr(zoo.registry, "_models", zoo.registry._models.copy())
    zoo.register("small", Small, zoo.ModelInfo("", SIZE, 0))
    model = Small(rngs=nnx.Rngs(0))
    randomise(model)
    folder = tmp_path / "run"
    folder.mkdir()
    description = {"model": "small", "options": {"num_classes": 3}, "class_names": list(CLASSES)}
    said = {"image_size": SIZE, "mean": list(PREPROCESSING.mean), "std": list(PREPROCESSING.std)}
    save_weights(model, folder / "weights.safetensors", description | said)
    return folder


@needs["stablehlo"]
def test_stablehlo_takes_any_number_and_size_of_pixels_and_preprocesses_as_the_zoo_does(net, tmp_path):
    out = tmp_path / "net.stablehlo"
    written = export_net(net, out, "stablehlo", symbolic_size=True, with_preprocessing=True)
    assert written.input == module.Array("pixels", "uint8", ("N", "H", "W", 3))
    assert written.output == module.Array("probabilities", "float32", ("N", 3))
    assert written.error < 1e-5
    exported = jax.export.deserialize(bytearray(out.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 8, 21, 3), np.uint8)
    assert exported.call(pixels).shape == (5, 3)
    with pytest.raises(ValueError, match="shape"):
        exported.call(pixels[:, :7])  # less than half of the net's own height
    pixels = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    expected = jax.nn.softmax(net.logits(preprocess(pixels, PREPROCESSING)))
    np.testing.assert_allclose(exported.call(pixels), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def source_lines():
    """What programs have outside of tests: the lines of the source that each operation comes from."""
    before = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 10)
    yield
    jax.config.update("jax_traceback_in_locations_limit", before)


@needs["stablehlo"]
def test_stablehlo_names_no_file_of_this_machine(net, tmp_path, source_lines):
    module.stablehlo.write(net, tmp_path / "a", symbolic_size=False, with_preprocessing=False)
    module.stablehlo.write(net, tmp_path / "b", symbolic_size=False, with_preprocessing=False)
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    assert b".py" not in content
    assert str(Path.cwd()).encode() not in content


@needs["onnx"]
def test_the_command_writes_a_net_of_a_run_and_what_is_known_of_it(run_directory, tmp_path, capsys):
    out = tmp_path / "net.onnx"
    out.write_text("an older one")
    assert main(["export", str(run_directory), str(out), "--to", "onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{out}: small for onnx, float32, {out.stat().st_size / 1e6:.2f} MB"
    assert lines[1].startswith("error: ")
    said = json.loads((tmp_path / "net.onnx.json").read_text())
    assert said["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    weights = run_directory / "weights.safetensors"
    assert said["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (said["model"], said["class_names"], said["num_classes"]) == ("small", list(CLASSES), 3)
    assert said["input"] == {"name": "images", "dtype": "float32", "shape": ["N", SIZE, SIZE, 3]}
    assert said["preprocessing"]["mean"] == list(PREPROCESSING.mean)
    assert 0 <= said["error"] < 1e-5 < said["tolerance"]
    assert said["milliseconds"] > 0
    assert {"python", "conv-zoo", "jax", "flax", "numpy", "onnx", "onnxruntime"} == said["versions"].keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.onnx.json", "run"]


@pytest.mark.parametrize(
    "to", [pytest.param("onnx", marks=needs["onnx"]), pytest.param("litert", marks=needs["litert"])]
)
def test_int8_is_smaller_and_gives_the_same_classes(to, net, pictures, tmp_path):
    if to == "litert":
        pytest.importorskip("ai_edge_quantizer")
    out = tmp_path / "net"
    written = export_net(net, out, to, quantize="int8", calibrate=str(pictures))
    assert written.error < 1e-5
    assert written.quantization.pictures == 40
    assert written.quantization.agreement >= 0.95
    assert 0 < written.quantization.deviation < 0.3
    assert written.quantization.data == f"40 of 40 pictures in {pictures}, 1 other file passed over"
    assert written.bytes == out.stat().st_size


@pytest.fixture(scope="module")
def segmenter():
    model = SmallSegmenter(rngs=nnx.Rngs(0))
    randomise(model)
    return Net(model, PREPROCESSING, CLASSES, "small")


def assert_exported(net, to, path):
    """What is exported takes any number of images, or one, and gives logits of each pixel, which are those of the net.

    It is run without the zoo.
    """
    written, size = export_net(net, path, to), net.preprocessing.input_size
    count = 1 if to == "litert" else "N"
    assert written.input == module.Array("images", "float32", (count, size, size, 3))
    assert written.output == module.Array("logits", "float32", (count, size, size, 3))
    assert (written.num_classes, written.class_names) == (3, CLASSES)
    images = np.random.default_rng(1).standard_normal((2, size, size, 3)).astype(np.float32)
    model = nnx.clone(net.model)
    model.eval()
    expected = np.asarray(output_of(model, images))
    (logits,) = run_apart(to, path, [images]).outputs
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * expected.std())


EVERY_FORMAT = [pytest.param(to, marks=needs[to]) for to in ("stablehlo", "onnx", "litert")]


@pytest.mark.parametrize("to", EVERY_FORMAT)
def test_a_segmentation_net_gives_the_logits_of_each_pixel(to, segmenter, tmp_path):
    assert_exported(segmenter, to, tmp_path / "net")


@pytest.mark.slow
@pytest.mark.parametrize("to", EVERY_FORMAT)
def test_a_segmentation_net_of_the_registry_is_exported(to, tmp_path):
    model = zoo.create_model("lraspp_mobilenet_v3_large", num_classes=3, width=0.25, small_images=True)
    randomise(model)
    assert_exported(Net(model, Preprocessing(64, 64), CLASSES), to, tmp_path / "net")


@needs["onnx"]
def test_int8_of_a_segmentation_net_is_compared_pixel_by_pixel(segmenter, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LOGITS", 10 * SIZE * SIZE * 3)
    monkeypatch.setattr(module, "GOOD_AGREEMENT", 1.1)
    with pytest.warns(UserWarning, match=r"another class than float32 for \d+\.\d% of the pixels of 10 pictures"):
        written = export_net(segmenter, tmp_path / "net", "onnx", quantize="int8", calibrate=str(pictures))
    assert written.quantization.pictures == 10
    assert written.quantization.agreement >= 0.95


@needs["stablehlo"]
def test_a_segmentation_net_takes_pixels_of_any_size(segmenter, tmp_path):
    out = tmp_path / "net"
    written = export_net(segmenter, out, "stablehlo", symbolic_size=True, with_preprocessing=True)
    assert written.output == module.Array("probabilities", "float32", ("N", "H", "W", 3))
    probabilities = jax.export.deserialize(bytearray(out.read_bytes())).call(np.zeros((2, 9, 21, 3), np.uint8))
    assert probabilities.shape == (2, 9, 21, 3)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)


@needs["onnx"]
def test_a_quantised_net_that_gives_other_classes_is_warned_of(net, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GOOD_AGREEMENT", 1.1)
    with pytest.warns(UserWarning, match=r"int8 gives another class than float32 for \d+\.\d% of 40 pictures"):
        export_net(net, tmp_path / "net", "onnx", quantize="int8", calibrate=str(pictures))


@needs["litert"]
def test_litert_takes_one_image(net, tmp_path):
    written = export_net(net, tmp_path / "net.tflite", "litert")
    assert written.input.shape == (1, SIZE, SIZE, 3)
    assert written.error < 1e-5


@needs["onnx"]
def test_what_is_not_the_net_is_not_kept(net, tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_text("an older one")
    logits = Net.logits
    monkeypatch.setattr(Net, "logits", lambda net, images: logits(net, images) * 1.001)
    with pytest.raises(ExportError, match=r"is not the net: its outputs differ by .* of their .* nothing is kept"):
        export_net(net, tmp_path / "net.onnx", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_text() == "an older one"


@needs["onnx"]
def test_a_net_that_cannot_be_expressed_leaves_nothing(net, tmp_path):
    class Sorting(Small):
        def __call__(self, x):
            return jnp.sort(super().__call__(x))

    model = Sorting(rngs=nnx.Rngs(0))
    with pytest.raises(ExportError, match="no operator for JAX's primitive sort"):
        export_net(Net(model, PREPROCESSING), tmp_path / "net.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "onnx", "--symbolic-size"], "symbolic_size is for stablehlo, not for onnx"),
        (["--to", "litert", "--with-preprocessing"], "with_preprocessing is for stablehlo, not for litert"),
        (["--to", "stablehlo", "--quantize", "int8"], "quantize='int8' is for litert and onnx, not for stablehlo"),
        (["--to", "onnx", "--quantize", "int8"], "quantize='int8' takes pictures to calibrate on"),
        (["--to", "onnx", "--calibrate", "shapes"], "calibrate='shapes' is for a net to quantise"),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_leave_nothing(options, message, tmp_path, capsys):
    assert main(["export", "absent", str(tmp_path / "out"), *options]) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"zoo: error: {message}")
    assert written.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@needs["onnx"]
@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("there", [], "{}/there is a directory, not a file to write"),
        ("absent/net.onnx", [], "there is no directory {}/absent to write net.onnx in"),
        ("net.onnx", ["--quantize", "int8", "--calibrate", "{}/there"], "{}/there has no pictures (.avif, "),
        ("net.onnx", ["--quantize", "int8", "--calibrate", "shape"], "'shape' is no folder and no data set's name"),
    ],
)
def test_a_file_without_a_place_and_data_without_pictures_are_one_line(
    out, options, message, run_directory, tmp_path, capsys
):
    (tmp_path / "there").mkdir()
    options = [option.format(tmp_path) for option in options]
    assert main(["export", str(run_directory), str(tmp_path / out), "--to", "onnx", *options]) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"zoo: error: {message.format(tmp_path)}")
    assert written.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "there"]


@pytest.mark.parametrize(
    ("to", "missing", "message"),
    [
        ("stablehlo", ["flatbuffers"], 'takes flatbuffers: `pip install "conv-zoo[export]"`'),
        ("onnx", ["onnx", "onnxruntime"], 'takes onnx and onnxruntime: `pip install "conv-zoo[export]"`'),
        (
            "litert",
            ["ai-edge-litert", "litert-converter"],
            'takes ai-edge-litert and litert-converter: `pip install "conv-zoo[export]"`, then '
            "`pip install --no-deps litert-converter`",
        ),
        ("litert", ["litert-converter"], "takes litert-converter: `pip install --no-deps litert-converter`"),
    ],
)
def test_a_missing_package_is_named(to, missing, message, tmp_path, monkeypatch):
    modules = {package.replace("-", "_") for package in missing}
    monkeypatch.setattr("zoo.export.errors.find_spec", lambda name: None if name in modules else object())
    with pytest.raises(ExportError, match="exporting to") as caught:
        module.check_request(tmp_path / "net", to)
    assert str(caught.value).endswith(message)


def test_a_net_says_what_is_wrong_with_it():
    model = Small(rngs=nnx.Rngs(0))
    with pytest.raises(ExportError, match="there are 2 names for 3 classes"):
        Net(model, PREPROCESSING, CLASSES[:2])
    model.head.kernel[...] = model.head.kernel[...] * jnp.nan
    with pytest.raises(ExportError, match="the net's own logits are not finite"):
        Net(model, PREPROCESSING).logits(np.zeros((1, SIZE, SIZE, 3), np.float32))
    model.head.kernel.set_value(jnp.zeros((8, 3), jnp.bfloat16))
    with pytest.raises(ExportError, match=r"in float32, but head\.kernel is bfloat16"):
        Net(model, PREPROCESSING)
    with pytest.raises(ExportError, match="must give float32 logits"):
        Net(Small(rngs=nnx.Rngs(0)).stem, PREPROCESSING)


def test_a_net_of_a_run_has_its_classes_and_preprocessing(run_directory):
    net = read_net(run_directory)
    assert (net.name, net.class_names, net.num_classes) == ("small", CLASSES, 3)
    assert net.preprocessing == PREPROCESSING


def test_the_models_batch_norms_and_mode_stay(net):
    assert not net.model.stem.norm.use_running_average
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, SIZE, SIZE, 3)), jnp.float32)
    np.testing.assert_allclose(net.infer(images), net.logits(np.asarray(images)), rtol=1e-4, atol=1e-5)
    assert not net.model.stem.norm.use_running_average


def test_calibration_takes_five_hundred_of_many_pictures(monkeypatch):
    monkeypatch.setattr("zoo.export.calibration.MOST_PICTURES", 20)
    pictures = read_pictures("shapes", PREPROCESSING)
    assert pictures.images.shape == (20, SIZE, SIZE, 3)
    assert pictures.images.dtype == np.float32
    assert pictures.note == "20 of 10000 training images of shapes"


def test_importing_takes_none_of_the_converters():
    code = "import sys, zoo.export; print([name for name in sys.modules if name in sys.argv[1:]])"
    names = ["onnx", "onnxruntime", "litert_converter", "ai_edge_litert", "ai_edge_quantizer", "tensorflow_datasets"]
    ended = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
