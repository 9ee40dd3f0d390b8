"""What a training run is: the fields, defaults and limits of its config, and its form in JSON.

A config file returns a `TrainConfig`; the command line overrides any field of it; `to_dict` of the result is written
beside the run. Every field is checked when a config is made, so a config that exists is a possible one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from zoo.data.names import FOLDERS, NAMES, is_data_set
from zoo.lowering_names import LoweringName
from zoo.suggestions import nearest
from zoo.training.config_section import Section, annotations_of

CONFIG_FILE = "config.json"  # in the directory of a run: its config, as `to_dict` gives it

OptimizerName = Literal["sgd", "adam", "adamw", "lamb", "lion", "rmsprop"]
Option = int | float | bool | str | tuple[int, ...] | None  # the value of an option of a model


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network.

    Raises:
        ValueError: if a field's value is impossible; it names the field, the value and what is possible.
    """

    _path = "model."

    name: str = "mobilenet_v2"
    """Architecture, one of zoo.list_models()."""
    width: float | None = None
    """Width multiplier; None for the model's own."""
    dropout: float | None = None
    """Dropout rate before the classifier; None for the model's own."""
    drop_path: float | None = None
    """Rate of stochastic depth at the last block; None for the model's own."""
    small_images: bool | None = None
    """The form for small images, without the first strides; None for it up to 64x64 pixels, if the model has it."""
    num_classes: int | None = None
    """Number of classes; None for as many as the data has."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters are float32."""
    weights: str | None = None
    """To start from: a file, a run's directory, zoo/NAME, torchvision/NAME or timm/NAME; None for a random start."""
    options: Mapping[str, Option] = field(default_factory=dict, hash=False)
    """Further options of the architecture, such as output_stride 8; `zoo summary NAME` shows what it takes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        named = {f.name for f in fields(self)}
        for option in self.options:
            self._require("options", option not in named, f"without {option}, which is a field: model.{option}")
        self._require("width", self.width is None or self.width > 0, "above 0")
        self._require("dropout", self.dropout is None or 0 <= self.dropout < 1, "at least 0 and below 1")
        self._require("drop_path", self.drop_path is None or 0 <= self.drop_path < 1, "at least 0 and below 1")
        self._require("num_classes", self.num_classes is None or self.num_classes >= 2, "at least 2")


@dataclass(frozen=True)
class DataConfig(Section):
    """The examples.

    Raises:
        ValueError: as `ModelConfig`.
    """

    _path = "data."

    name: str = "shapes"
    """To classify: shapes, cifar10, image_folder, or tfds/NAME for another data set that TFDS has prepared; to segment:
    scenes, mask_folder, oxford_iiit_pet or voc2012."""
    directory: Path | None = None
    """Where the data is; None for the usual place of this data set (folders have none)."""
    image_size: int = 32
    """Height and width in pixels that pictures are brought to (folders, oxford_iiit_pet and voc2012 only)."""
    train_examples: int | None = None
    """Train on only N examples, a fair sample of all classes (shapes and scenes: generate N); None for all."""
    test_examples: int | None = None
    """Test on only N examples, a fair sample of all classes (shapes and scenes: generate N); None for all."""
    test_share: float = 0.0
    """Share of each class to test on where there is no folder for it (folders only); 0 for none."""
    skip_unreadable: bool = False
    """Leave out pictures that cannot be decoded: all are decoded once, before the run (folders only)."""
    workers: int = 0
    """Processes that read data that is not kept in memory; 0 to read it in the main process."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_data_set(self.name):
            raise ValueError(f"data.name: unknown data set {self.name!r}; {nearest(self.name, (*NAMES, 'tfds/NAME'))}")
        is_folder = self.name in FOLDERS
        self._require("directory", not is_folder or self.directory is not None, f"a directory for {self.name}")
        self._require("image_size", self.image_size >= 1, "at least 1")
        self._require("train_examples", self.train_examples is None or self.train_examples >= 1, "at least 1")
        self._require("test_examples", self.test_examples is None or self.test_examples >= 1, "at least 1")
        self._require("test_share", 0 <= self.test_share < 1, "at least 0 and below 1")
        for name in ("test_share", "skip_unreadable"):
            holds = is_folder or not getattr(self, name)
            self._require(name, holds, f"left out for {self.name}, as it is for {' and '.join(FOLDERS)} only")
        self._require("workers", self.workers >= 0, "at least 0")


@dataclass(frozen=True)
class AugmentConfig(Section):
    """Random changes to training images.

    Raises:
        ValueError: as `ModelConfig`.
    """

    _path = "augment."

    crop_padding: int = 4
    """Pixels added on each side before a random crop back to size; 0 for no crop. See also random_resized_crop."""
    flip: bool = True
    """Mirror half of the images left to right."""
    cutout: int = 0
    """Side in pixels of a square that is blanked out; 0 for none."""
    mixup: float = 0.0
    """Alpha of the Beta distribution that MixUp draws from; 0 for none."""
    cutmix: float = 0.0
    """Alpha of the Beta distribution that CutMix draws from; 0 for none. Where both are on, each batch gets one."""
    random_resized_crop: float = 0.0
    """Smallest share of the area of a random crop that is resized, instead of one by crop_padding; 0 for none."""
    trivial_augment: bool = False
    """Apply one of the 14 operations of TrivialAugment to each image, of random strength."""
    color_jitter: float = 0.0
    """By how much brightness, contrast and saturation are changed at most; 0 for none."""
    random_erasing: float = 0.0
    """Probability with which a random rectangle of an image is blanked out; 0 for none."""
    random_scale: tuple[float, ...] = ()
    """Smallest and largest factor by which image and mask are scaled before a crop back to size; none for no scaling
    (segmentation only)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_padding", "cutout", "mixup", "cutmix", "color_jitter"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("random_resized_crop", "random_erasing"):
            self._require(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        is_range = len(self.random_scale) == 2 and 0 < self.random_scale[0] <= self.random_scale[1]
        self._require("random_scale", not self.random_scale or is_range, "two factors above 0, the smaller one first")


@dataclass(frozen=True)
class OptimizerConfig(Section):
    """The optimizer, its learning rate, and what it leaves alone.

    A batch norm whose parameters are frozen keeps its statistics, too.

    Raises:
        ValueError: as `ModelConfig`.
    """

    _path = "optimizer."

    name: OptimizerName = "sgd"
    """By Optax's name; SGD has Nesterov momentum."""
    learning_rate: float | None = None
    """Peak learning rate; None for what is usual for the optimizer."""
    schedule: Literal["cosine", "step", "poly", "constant"] = "cosine"
    """How the learning rate falls after the warm-up: as a cosine to 0, in steps, as a power to 0, or not at all."""
    warmup: float = 0.2
    """Share of all steps over which the learning rate rises from 0 to its peak."""
    decay_at: tuple[float, ...] = (0.5, 0.75)
    """Shares of all steps after which the learning rate is multiplied by the decay factor (step only)."""
    decay_factor: float = 0.1
    """What the learning rate is multiplied by (step only)."""
    power: float = 0.9
    """Of the share of steps that remain (poly only)."""
    momentum: float = 0.9
    """Momentum (sgd and rmsprop only)."""
    weight_decay: float | None = None
    """Weight decay, of kernels only; None for what is usual for the optimizer."""
    gradient_clip: float | None = None
    """Largest global norm of the gradient; None for no limit."""
    freeze: tuple[str, ...] = ()
    """What stays as it is: patterns of parameters such as stem or stages.0.*.kernel, or body, all but the head."""
    delay: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What stays as it is at first: a pattern as those of freeze, and the share of all steps after which it learns."""
    body_learning_rate_factor: float = 1.0
    """What the updates of all but the head are multiplied by."""
    split_state: bool = False
    """Divide the optimizer's state between the devices (ZeRO-1) instead of keeping all of it on each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("learning_rate", self.learning_rate is None or self.learning_rate > 0, "above 0")
        self._require("warmup", 0 <= self.warmup < 1, "at least 0 and below 1")
        if self.schedule == "step":
            increasing = list(self.decay_at) == sorted(set(self.decay_at))
            possible = bool(self.decay_at) and increasing and self.warmup <= self.decay_at[0] and self.decay_at[-1] < 1
            self._require("decay_at", possible, f"increasing shares from the warm-up's {self.warmup} to below 1")
        self._require("decay_factor", 0 < self.decay_factor < 1, "above 0 and below 1")
        self._require("power", self.power > 0, "above 0")
        self._require("momentum", 0 <= self.momentum < 1, "at least 0 and below 1")
        self._require("weight_decay", self.weight_decay is None or self.weight_decay >= 0, "at least 0")
        self._require("gradient_clip", self.gradient_clip is None or self.gradient_clip > 0, "above 0")
        self._require("freeze", all(self.freeze), "patterns, none of them empty")
        self._require("delay", all(self.delay), "patterns, none of them empty, and their shares")
        for pattern, share in self.delay.items():
            is_share = 0 < share < 1
            self._require("delay", is_share, f"above 0 and below 1 for {pattern} (to leave it alone, freeze it)")
        factor = self.body_learning_rate_factor
        self._require("body_learning_rate_factor", factor > 0, "above 0 (to leave the body alone, freeze it)")


@dataclass(frozen=True)
class TrainConfig(Section):
    """A training run.

    Raises:
        ValueError: as `ModelConfig`.
    """

    name: str | None = None
    """Of the experiment; the run directory's name begins with it; None for <model>_<data>."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    data: DataConfig = field(default_factory=DataConfig)
    """The examples."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes to training images."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer, its learning rate, and what it leaves alone."""
    epochs: int = 3
    """Passes over the training set."""
    batch_size: int = 32
    """Examples in a training step, over all devices."""
    eval_batch_size: int = 500
    """Examples in an evaluation step, over all devices."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""
    auxiliary_loss: float = 0.5
    """Weight of the loss of each auxiliary head, where the model has any: with model.options auxiliary_heads True."""
    balance: Literal["none", "loss", "sampling"] = "none"
    """What evens out classes of unequal size: weights in the training loss, or drawing each class as often."""
    ema_decay: float | None = None
    """Decay per step of a moving average of the weights, evaluated and saved instead of them; None for no average."""
    seed: int = 0
    """Of initialisation, order of examples, augmentation and dropout."""
    checkpoint_every: int = 1
    """Epochs between checkpoints."""
    devices: int | tuple[int, ...] | None = None
    """How many devices to use, or the numbers of several; None for all that JAX sees."""
    batch_norm: Literal["global", "per-device", "frozen"] = "global"
    """Normalise by the statistics of the whole batch, each device's share by its own, or (but for the head) by those
    of the start weights, which stay as they are."""
    gradient_accumulation: int = 1
    """Parts that a batch is computed in, one after another, to save memory. Batch norm sees the parts."""
    remat: Literal["none", "blocks"] = "none"
    """What the backward pass computes again to save memory: of blocks, all but the convolutions."""
    output: Path | None = None
    """Run directory; None for runs/<name>-<time>."""
    lowering: LoweringName | None = None
    """Force one lowering on the convolutions that it fits, and XLA's own on the others (`native`: on all of them);
    None for the one measured to be fastest."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache directory, so that the next start is faster."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None:
            is_directory_name = self.name.strip() not in ("", ".", "..") and not set("/\\\0") & set(self.name)
            self._require("name", is_directory_name, "fit to name a directory (no slashes)")
        self._require("epochs", self.epochs >= 1, "at least 1 (there is nothing to do otherwise)")
        self._require("batch_size", self.batch_size >= 1, "at least 1")
        self._require("eval_batch_size", self.eval_batch_size >= 1, "at least 1")
        self._require("label_smoothing", 0 <= self.label_smoothing < 1, "at least 0 and below 1")
        self._require("auxiliary_loss", self.auxiliary_loss >= 0, "at least 0")
        frozen_start = self.batch_norm == "frozen" and self.model.weights is None
        self._require("batch_norm", not frozen_start, "global or per-device where no model.weights have statistics")
        self._require("ema_decay", self.ema_decay is None or 0 < self.ema_decay < 1, "above 0 and below 1")
        self._require("seed", self.seed >= 0, "at least 0")
        self._require("devices", self.devices not in (0, ()), "at least 1")
        self._require("gradient_accumulation", self.gradient_accumulation >= 1, "at least 1")
        self._require("checkpoint_every", self.checkpoint_every >= 1, "at least 1")


SectionT = TypeVar("SectionT", bound=Section)


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The config as nested dictionaries of what JSON holds; paths become strings."""
    return asdict(config, dict_factory=lambda items: {key: str(v) if isinstance(v, Path) else v for key, v in items})


def from_dict(cls: type[SectionT], values: Mapping[str, Any]) -> SectionT:
    """A config from what `to_dict` gave. Missing keys take their defaults.

    Args:
        cls: `TrainConfig`, or the class of one of its parts.
        values: nested as `cls` is.

    Raises:
        ValueError: for an unknown key, with the nearest field, or for an impossible value or one of a wrong type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{cls._path.rstrip('.') or 'a config'} must be a mapping of fields, not {values!r}")
    annotations = annotations_of(cls)
    arguments = {}
    for key, value in values.items():
        if key not in annotations:
            raise ValueError(f"unknown field {cls._path + str(key)!r}; {nearest(str(key), annotations, cls._path)}")
        annotation = annotations[key]
        if isinstance(annotation, type) and issubclass(annotation, Section):
            value = from_dict(annotation, value)
        elif isinstance(value, str) and Path in get_args(annotation):
            value = Path(value)
        elif isinstance(value, list):  # JSON knows no tuples
            value = tuple(value)
        elif isinstance(value, Mapping):
            value = {name: tuple(one) if isinstance(one, list) else one for name, one in value.items()}
        arguments[key] = value
    return cls(**arguments)


def of_run(directory: Path) -> TrainConfig:
    """The config that a run has written into its directory.

    Raises:
        ValueError: if there is none, or it is damaged.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{directory} is not the directory of a run: it has no {CONFIG_FILE}")
    try:
        return from_dict(TrainConfig, json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # of JSON, of UTF-8, of a field
        raise ValueError(f"{path}: {error}") from None


def flatten(config: TrainConfig) -> dict[str, Any]:
    """Dotted field -> value, such as `"optimizer.learning_rate"` -> 0.1."""

    def leaves(section: Any, path: str) -> Iterable[tuple[str, Any]]:
        for name in annotations_of(type(section)):
            value = getattr(section, name)
            if isinstance(value, Section):
                yield from leaves(value, f"{path}{name}.")
            else:
                yield path + name, value

    return dict(leaves(config, ""))


def differences(a: TrainConfig, b: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted field -> its values in `a` and in `b`, for the fields in which they differ."""
    flat_a, flat_b = flatten(a), flatten(b)
    return {path: (flat_a[path], flat_b[path]) for path in flat_a if flat_a[path] != flat_b[path]}
