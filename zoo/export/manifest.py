"""`Manifest`: what lies beside an exported net, for whoever has to run it."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zoo.export.net import Net


@dataclass(frozen=True)
class Array:
    """An input or an output: its name, dtype and shape, in which texts stand for any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Quantization:
    """What an int8 net was calibrated on, and how it compares to the net in float32 there.

    Attributes:
        data: where the pictures come from.
        pictures: how many of them both nets were compared on.
        agreement: the share of these, or of their pixels if each has a class, for which both give the same class.
        deviation: the root of the mean square of the logits' differences, as a share of their standard deviation.
    """

    data: str
    pictures: int
    agreement: float
    deviation: float


@dataclass(frozen=True)
class Manifest:
    """What is known of an exported net; a JSON file beside it.

    Attributes:
        format: "stablehlo", "litert" or "onnx".
        file: its name.
        bytes, sha256: of its content.
        model: the name of the model; None if it has none.
        weights_sha256: of the file that its weights come from; None if they come from none.
        num_classes: how many there are.
        class_names: in the order of the output; None if they have none.
        input, output: what it takes and gives.
        preprocessing: what pictures go through before it: the shorter side is resized to `resize_size` and the middle
            cropped to `input_size`; then (pixels / 255 - mean) / std, unless the net does that itself.
        error: the largest difference of a logit (or probability) from that of the model in JAX, as a share of their
            standard deviation, when the file was loaded in a process without `zoo`; of the net in float32 if this one
            is quantised.
        tolerance: what the error has to be below.
        milliseconds: for one image in that process.
        runtime: by what it was run there.
        processor: where.
        quantization: None for float32.
        versions: of what wrote it.
    """

    format: str
    file: str
    bytes: int
    sha256: str
    model: str | None
    weights_sha256: str | None
    num_classes: int
    class_names: tuple[str, ...] | None
    input: Array
    output: Array
    preprocessing: dict[str, Any]
    error: float
    tolerance: float
    milliseconds: float
    runtime: str
    processor: str
    quantization: Quantization | None
    versions: dict[str, str]

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def preprocessing_of(net: Net, *, inside: bool) -> dict[str, Any]:
    """What pictures go through, and whether the exported net normalises them itself."""
    return {**asdict(net.preprocessing), "normalisation_inside": inside}


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of Python, of this project, of what it computes with, and of other packages."""
    ours = ("conv-zoo", "jax", "flax", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in (*ours, *packages)}}
