"""`find_checkpoint`: from what a user writes as `weights=` to a file and what belongs to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zoo.preprocessing import Preprocessing
from zoo.weights import packaged, timm, torchvision
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import read_tensors
from zoo.weights.torch_file import read_torch_file

_FILES_IN_A_FOLDER = ("model.safetensors", "weights.safetensors")  # of a model hub's folder, of a run's directory


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights, and what is known of them apart from their tensors.

    Attributes:
        path: of the file.
        known_model: the name of our model that the weights are for, as far as their name tells.
        known_preprocessing: what images go through before them, as far as their name tells.
        known_numerics: how the net computes with them, as far as their name tells.
    """

    path: Path
    known_model: str | None = None
    known_preprocessing: Preprocessing | None = None
    known_numerics: Numerics | None = None

    @cached_property
    def _content(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if self.path.suffix in (".pth", ".pt", ".bin"):
            return read_torch_file(self.path), {}
        return read_tensors(self.path)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """Name -> tensor.

        Raises:
            ValueError: if the file is damaged.
            WeightsUnavailableError: if reading it takes PyTorch, and there is none.
        """
        return self._content[0]

    @property
    def description(self) -> dict[str, Any]:
        """What a training run of the zoo says about its weights: model, options, class_names, mean, std, image_size.

        Empty for weights that are not the zoo's; `check_description` says which form it has.
        """
        return self._content[1]

    @property
    def model(self) -> str | None:
        """The name of our model that the weights are for; None if nothing tells."""
        return self.known_model or self.description.get("model")

    @property
    def numerics(self) -> Numerics | None:
        """How the net computes with the weights; None if nothing but the names of the tensors tells."""
        recorded = self.description.get("numerics")
        return self.known_numerics or (None if recorded is None else Numerics(**recorded))

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What images go through before the net: for a run as its data set was normalised; None if nothing tells."""
        if self.known_preprocessing is not None:
            return self.known_preprocessing
        said = self.description
        size = said.get("image_size")
        if size is None:
            return None
        resize_size, interpolation = said.get("resize_size", size), said.get("interpolation", "bilinear")
        return Preprocessing(size, resize_size, interpolation, tuple(said["mean"]), tuple(said["std"]))

    def class_names(self, count: int) -> list[str] | None:
        """The names of the classes that the net tells apart; None if nothing tells.

        A run may train a net for more classes than its data has; those without a name are numbered.

        Raises:
            ValueError: if there are more names than `count`.
        """
        names = self.description.get("class_names")
        if names is None:
            return None
        if len(names) > count:
            raise ValueError(f"{self.path}: there are {len(names)} class_names for {count} classes")
        return names + [f"class {number}" for number in range(len(names), count)]


def model_of(checkpoint: Checkpoint, given: str | None) -> str:
    """The name of the model that weights are for, as given or as they tell.

    Raises:
        ValueError: if it is neither given nor known.
    """
    name = given or checkpoint.model
    if name is None:
        raise ValueError(f"{checkpoint.path} does not tell which model it is of; name it by --model")
    return name


def find_checkpoint(weights: str | os.PathLike[str] | Checkpoint) -> Checkpoint:
    """Finds or fetches weights.

    Args:
        weights: a `.safetensors` file of the zoo, torchvision or timm; a `.pth` file, which takes PyTorch to read; a
            folder with `weights.safetensors`, as of a run, or with `model.safetensors` and `config.json`, as timm's
            are published; "zoo/shufflenet_v2_x0_5.cifar10", which comes with the package;
            "torchvision/MobileNet_V2_Weights.IMAGENET1K_V2", fetched from its official address into PyTorch's cache;
            "timm/mobilenetv4_conv_small.e2400_r224_in1k", fetched into Hugging Face's; or what this has found before,
            which is not read again.

    Returns:
        The weights. What images go through before them, `preprocessing`, is known for a run of the zoo, for names and
        files of torchvision and for what timm publishes.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsUnavailableError: if they are not in the cache and cannot be fetched.
        ValueError: for a name that the package or torchvision does not have, with the nearest, or if a `config.json`
            has another form than timm's.
    """
    if isinstance(weights, Checkpoint):
        return weights
    path, name = Path(weights), os.fspath(weights)
    if not path.exists() and name.startswith("zoo/"):
        path = packaged.find(name)
    if not path.exists() and name.startswith("torchvision/"):
        _, published = torchvision.find(name.removeprefix("torchvision/"))
        path = torchvision.fetch(published)
    if not path.exists() and name.startswith("timm/"):
        path = timm.fetch(name)
    if path.is_dir():
        path = next((path / file for file in _FILES_IN_A_FOLDER if (path / file).is_file()), path)
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}")
    config = path.parent / "config.json"
    if path.name == "model.safetensors" and config.is_file():
        return Checkpoint(path, *timm.describe(config))
    if known := torchvision.find_file(path.name):
        model, published = known
        return Checkpoint(path, model, published.preprocessing)
    return Checkpoint(path)
