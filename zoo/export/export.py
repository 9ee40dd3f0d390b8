"""`export_net`: writes a net, loads it again in a process without `zoo`, and keeps it only if it is the same net."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from PIL import Image

from zoo.atomic_file import replacing
from zoo.export import litert, onnx, stablehlo
from zoo.export.apart import Ran, run_apart, start_program
from zoo.export.calibration import Pictures, read_pictures
from zoo.export.errors import ExportError, require_packages
from zoo.export.manifest import Array, Manifest, Quantization, preprocessing_of, sha256_of, versions_of
from zoo.export.net import Net
from zoo.ops.lowering.measured import processor, usable_cores
from zoo.preprocessing import normalise

Format = Literal["stablehlo", "litert", "onnx"]

TOLERANCE = 1e-3  # of the logits' standard deviation; in trained nets rounding takes a few millionths
GOOD_AGREEMENT = 0.95  # of quantised and float classes; with less there is a warning

_EXAMPLES = 4
_MOST_LOGITS = 2**28  # of the pictures that a quantised net is compared on: 1 GiB, of each net
_PACKAGES: dict[Format, tuple[str, ...]] = {
    "stablehlo": ("flatbuffers",),
    "litert": ("ai-edge-litert", "litert-converter"),
    "onnx": ("onnx", "onnxruntime"),
}
_PACKAGES_TO_QUANTIZE: dict[Format, tuple[str, ...]] = {"litert": ("ai-edge-quantizer",), "onnx": ()}


def export_net(
    net: Net,
    out: str | os.PathLike[str],
    to: Format,
    *,
    symbolic_size: bool = False,
    with_preprocessing: bool = False,
    quantize: Literal["int8"] | None = None,
    calibrate: str | None = None,
) -> Manifest:
    """Writes a net for inference, in float32 and with its batch norms folded, and `OUT.json` beside it.

    The file is loaded in a process without `zoo` and run there; only if its outputs are those of the model does it get
    its name, and replaces what had it before.

    Args:
        net: what to export, `Net(model, preprocessing, ...)` or `read_net(weights)`.
        out: the file to write.
        to: "stablehlo", for JAX and XLA on CPUs, NVIDIA GPUs and TPUs, and any number of images; "litert", for LiteRT
            (TensorFlow Lite), one image at a time; "onnx", for onnxruntime and others, any number of images.
        symbolic_size: for StableHLO, take images of any height and width from half of the net's own on.
        with_preprocessing: for StableHLO, take uint8 pixels and give probabilities, not normalised images and logits.
        quantize: for LiteRT and ONNX, "int8" for weights and activations of 8 bits.
        calibrate: the pictures that tell the ranges of the activations, see `read_pictures`.

    Returns:
        What is in the JSON file.

    Raises:
        ExportError: if the options do not fit each other, a package is not installed, the format cannot express the
            net, or what was written gives other outputs; then no file is written.
        OSError: if the file cannot be written.
    """
    out = Path(out)
    check_request(
        out,
        to,
        symbolic_size=symbolic_size,
        with_preprocessing=with_preprocessing,
        quantize=quantize,
        calibrate=calibrate,
    )
    pictures = None if calibrate is None else read_pictures(calibrate, net.preprocessing)
    with (
        replacing(out) as unfinished,
        replacing(_description_of(out)) as description,
        tempfile.TemporaryDirectory(prefix="zoo-export-") as folder,
    ):
        in_float32 = Path(folder) / "float32" if quantize else unfinished
        match to:
            case "stablehlo":
                stablehlo.write(net, in_float32, symbolic_size=symbolic_size, with_preprocessing=with_preprocessing)
            case "litert":
                litert.write(net, in_float32)
            case "onnx":
                onnx.write(net, in_float32)
        error, ran = _compare(net, in_float32, to, symbolic_size, with_preprocessing)
        quantization = None
        if pictures is not None:
            images = Path(folder) / "images.npy"
            np.save(images, pictures.images)
            start_program(
                f"quantize_{to}", in_float32, images, unfinished, failing=f"this net cannot be quantised for {to}"
            )
            quantization, ran = _compare_quantized(net, unfinished, to, pictures)
        manifest = Manifest(
            format=to,
            file=out.name,
            bytes=unfinished.stat().st_size,
            sha256=sha256_of(unfinished),
            model=net.name,
            weights_sha256=net.weights_sha256,
            num_classes=net.num_classes,
            class_names=net.class_names,
            input=_input_of(net, to, symbolic_size, with_preprocessing),
            output=_output_of(net, to, symbolic_size, with_preprocessing),
            preprocessing=preprocessing_of(net, inside=with_preprocessing),
            error=error,
            tolerance=TOLERANCE,
            milliseconds=1e3 * ran.seconds,
            runtime=ran.runtime,
            processor=f"{processor()}, {usable_cores()} cores",
            quantization=quantization,
            versions=versions_of(_packages(to, quantize)),
        )
        manifest.write(description)
    return manifest


def check_request(
    out: Path,
    to: Format,
    *,
    symbolic_size: bool = False,
    with_preprocessing: bool = False,
    quantize: Literal["int8"] | None = None,
    calibrate: str | None = None,
) -> None:
    """Checks what can be checked before there is a net; the arguments are those of `export_net`.

    Raises:
        ExportError: if the options do not fit each other, a package is not installed, or the file has no place.
    """
    if to == "stablehlo" and quantize is not None:
        raise ExportError(f"quantize={quantize!r} is for litert and onnx, not for stablehlo")
    for option, given in (("symbolic_size", symbolic_size), ("with_preprocessing", with_preprocessing)):
        if to != "stablehlo" and given:
            raise ExportError(f"{option} is for stablehlo, not for {to}")
    if quantize is not None and calibrate is None:
        raise ExportError(f"quantize={quantize!r} takes pictures to calibrate on; give a folder or a data set's name")
    if quantize is None and calibrate is not None:
        raise ExportError(f"calibrate={calibrate!r} is for a net to quantise, but quantize is not given")
    require_packages(f"exporting to {to}", _packages(to, quantize))
    for path in (out, _description_of(out)):
        if path.is_dir():
            raise ExportError(f"{path} is a directory, not a file to write")
    if not out.parent.is_dir():
        raise ExportError(f"there is no directory {out.parent} to write {out.name} in")


def random_pixels(count: int, height: int, width: int) -> np.ndarray:
    """Random pictures, uint8 (count, height, width, 3), always the same: coarse patches of colour under fine noise.

    White noise alone, which no net is trained on, can make activations hundreds of times as large as they ever are, and
    rounding errors with them.
    """
    random = np.random.default_rng(0)
    patches = [Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)) for _ in range(count)]
    coarse = np.stack([np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) for image in patches])
    return (0.75 * coarse + 0.25 * random.integers(0, 256, coarse.shape)).astype(np.uint8)


def deviation(outputs: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the standard deviation of what is expected; infinite with NaN."""
    if outputs.shape != expected.shape or not np.isfinite(outputs).all():
        return float("inf")
    return float(np.abs(outputs - expected).max() / _spread(expected))


def _spread(logits: np.ndarray) -> float:
    return float(logits.std()) or 1.0  # those of a head that is all zero have none


def _compare(net: Net, path: Path, to: Format, symbolic_size: bool, with_preprocessing: bool) -> tuple[float, Ran]:
    """The error of a net in float32, and how it ran.

    Raises:
        ExportError: if it is not below the tolerance.
    """
    size = net.preprocessing.input_size
    sizes = [(size, size)] + [(size * 3 // 4, size * 5 // 4)] * symbolic_size
    pixels = [random_pixels(_EXAMPLES, *size) for size in sizes]
    images = [normalise(batch, net.preprocessing) for batch in pixels]
    expected = [net.logits(batch) for batch in images]
    if with_preprocessing:
        expected = [np.asarray(jax.nn.softmax(logits)) for logits in expected]
    given = pixels if with_preprocessing else images
    ran = run_apart(to, path, [*given, given[0][:1]])  # one image also alone: any number has to go
    error = max(map(deviation, ran.outputs, [*expected, expected[0][:1]]))
    if not error < TOLERANCE:
        raise ExportError(
            f"what was written for {to} is not the net: its outputs differ by {error:.1e} of their standard deviation, "
            f"and {TOLERANCE:.0e} is allowed; nothing is kept"
        )
    return error, ran


def _compare_quantized(net: Net, path: Path, to: Format, pictures: Pictures) -> tuple[Quantization, Ran]:
    """How a quantised net agrees with the one in float32 on the pictures that it was calibrated on, and how it ran."""
    most = max(1, _MOST_LOGITS // math.prod(net.logits_shape))  # fewer than there are where each pixel has its own
    images = pictures.images[:: -(-len(pictures.images) // most)]
    ran = run_apart(to, path, [images])
    (logits,), expected = ran.outputs, net.logits(images)
    agreement = float((logits.argmax(-1) == expected.argmax(-1)).mean())
    if agreement < GOOD_AGREEMENT:
        of_all = f"{1 - agreement:.1%} of {net.labelled(len(logits))}"
        warnings.warn(f"int8 gives another class than float32 for {of_all}", stacklevel=3)
    difference = float(np.sqrt(np.mean((logits - expected) ** 2)) / _spread(expected))
    return Quantization(pictures.note, len(logits), agreement, difference), ran


def _input_of(net: Net, to: Format, symbolic_size: bool, with_preprocessing: bool) -> Array:
    size = ("H", "W") if symbolic_size else net.image_shape[:2]
    name, dtype = ("pixels", "uint8") if with_preprocessing else ("images", "float32")
    return Array(name, dtype, (_number_of_images(to), *size, 3))


def _output_of(net: Net, to: Format, symbolic_size: bool, with_preprocessing: bool) -> Array:
    *size, classes = net.logits_shape
    named = ("H", "W") if symbolic_size and size else size
    name = "probabilities" if with_preprocessing else "logits"
    return Array(name, "float32", (_number_of_images(to), *named, classes))


def _packages(to: Format, quantize: str | None) -> tuple[str, ...]:
    return _PACKAGES[to] + (_PACKAGES_TO_QUANTIZE[to] if quantize else ())


def _number_of_images(to: Format) -> int | str:
    return 1 if to == "litert" else "N"


def _description_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.json")
