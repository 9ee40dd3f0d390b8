"""Names of models, how to make them, and the published figures that they must meet."""

from __future__ import annotations

import fnmatch
import inspect
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

from flax import nnx

from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.suggestions import nearest
from zoo.task_names import TaskName
from zoo.type_hints import annotated_types, described, has_type

if TYPE_CHECKING:
    from zoo.models._net import Net
    from zoo.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class ModelInfo:
    """What is published about a model.

    Attributes:
        paper: where it is described.
        input_size: height and width of the images that the figures are for; of classifiers 32 for CIFAR-10, otherwise
            ImageNet.
        parameters: learnable scalars with all classes of that data set; an int where the exact count is known, a
            float where the source rounds it.
        macs: multiply-accumulates of convolutions and linear layers for one image, biases and norms not counted;
            None if not published.
        top1: accuracy on that data set in per cent, or None if not published.
        counts_norms: whether `parameters` includes those of normalisation; TF-slim's tables leave them out.
        macs_tolerance: how far `macs` may be from what this project counts, as a share; more than 1 % is explained
            where the model is registered.
        own_preprocessing: what images go through before the net, where the weights say so.
        task: what the net is for.
        mean_iou: of segmentation, in per cent, or None if not published.
        mean_iou_of: the images that it was measured on, at a single scale, such as "VOC 2012 val".
    """

    paper: str
    input_size: int
    parameters: int | float
    macs: float | None = None
    top1: float | None = None
    counts_norms: bool = True
    macs_tolerance: float = 0.01
    own_preprocessing: Preprocessing | None = None
    task: TaskName = "classification"
    mean_iou: float | None = None
    mean_iou_of: str | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """What images go through before the net: what is usual for its task, unless the weights say otherwise."""
        if self.own_preprocessing is not None:
            return self.own_preprocessing
        crop_share = 1.0 if self.input_size == 32 or self.task == "segmentation" else 0.875
        return Preprocessing(self.input_size, round(self.input_size / crop_share))


@dataclass(frozen=True)
class _Entry:
    architecture: type[Net]
    options: dict[str, Any]
    info: ModelInfo
    weights: tuple[TorchvisionWeights | TimmWeights, ...]


_models: dict[str, _Entry] = {}


def register(
    name: str,
    architecture: type[Net],
    info: ModelInfo,
    *,
    weights: Sequence[TorchvisionWeights | TimmWeights] = (),
    **options: Any,
) -> None:
    """Adds a model.

    Args:
        name: what `create_model` knows it by.
        architecture: its class, whose `torch_names` tells the names of the tensors in published weights.
        info: its published figures.
        weights: its published weights.
        **options: what sets it apart from others of its class, such as `width=0.5`.

    Raises:
        ValueError: if the name is taken.
    """
    if name in _models:
        raise ValueError(f"model {name!r} is registered already")
    _models[name] = _Entry(architecture, options, info, tuple(weights))


def create_model(
    name: str,
    *,
    rngs: nnx.Rngs | None = None,
    weights: str | PathLike[str] | Checkpoint | None = None,
    strict: bool = True,
    **options: Any,
) -> Net:
    """Builds a model, in training mode as every NNX module.

    Args:
        name: one of `list_models()`.
        rngs: initialises the parameters; None for seed 0.
        weights: to load into it, as `zoo.weights.checkpoint.find_checkpoint` takes them: a file, the directory of a
            run, or a name such as "torchvision/MobileNet_V2_Weights.IMAGENET1K_V2" or
            "timm/mobilenetv4_conv_small.e2400_r224_in1k". Those of a classifier become the body of a `Segmenter`, with
            a warning.
        strict: whether tensors of the weights that are missing, left over or of another shape are an error; if not,
            they are passed over with a warning, but at least half of the model's tensors must fit.
        **options: of the model's constructor, such as `num_classes=10, small_images=True`. Those not given are as
            the weights say if they come from a run, otherwise the model's own; but `num_classes` is always that of
            the weights. If another is given, the head is newly initialised, with a warning; with 0 there is none.
            With other `in_channels` than those of the weights, the kernel that sees the images is summed over its
            inputs for 1 channel, otherwise repeated and scaled, with a warning.

    Returns:
        The model; `model(images)` maps (N, H, W, 3) to logits: (N, num_classes) of an `ImageClassifier`,
        (N, H, W, num_classes) of a `Segmenter`.

    Raises:
        ValueError: for an unknown name or option, with the nearest known ones, or if the weights do not fit.
        FileNotFoundError: if there are no weights at that path.
        WeightsUnavailableError: if the weights cannot be fetched, or if reading them takes PyTorch and there is none.
    """
    entry = _find(name)
    check_options(name, options)
    architecture: Any = entry.architecture  # whose options each class names for itself
    rngs = rngs or nnx.Rngs(0)
    if weights is None:
        return architecture(rngs=rngs, **(entry.options | options))

    from zoo.weights.checkpoint import find_checkpoint  # reads files, which most models do not need
    from zoo.weights.load import classes_of, fit_weights

    checkpoint = find_checkpoint(weights)
    said = checkpoint.description.get("options", {}) if checkpoint.model == name else {}
    chosen = entry.options | said | options

    def abstract() -> Net:
        try:
            return nnx.eval_shape(lambda: architecture(rngs=nnx.Rngs(0), **chosen))
        except Exception as error:  # of whatever kind comes of options that nobody has thought of
            if not said:
                raise
            raise ValueError(f"{checkpoint.path} is of a {name} with {said}, which cannot be built: {error}") from error

    # What the weights do not fit, and what a damaged description asks for, is found before there are arrays.
    model = abstract()
    if "num_classes" not in options:
        classes = classes_of(model, checkpoint)
        if model.num_classes and classes != model.num_classes:
            chosen["num_classes"] = classes
            model = abstract()
    fitting = fit_weights(model, checkpoint, strict=strict)
    model = architecture(rngs=rngs, **chosen)
    fitting.load(model, set_epsilon="norm" not in options, set_dilation="dilates_first" not in options)
    return model


def list_models(pattern: str = "*", *, task: TaskName | None = None) -> list[str]:
    """The names that match a shell pattern such as "mobilenet*", sorted.

    Args:
        pattern: of the names.
        task: "classification" or "segmentation" for the nets of that task alone.
    """
    models = _registered()
    return sorted(name for name in fnmatch.filter(models, pattern) if task in (None, models[name].info.task))


def model_info(name: str, weights: str | PathLike[str] | Checkpoint | None = None) -> ModelInfo:
    """The published figures of a model, and the preprocessing that belongs to it.

    Args:
        name: one of `list_models()`.
        weights: whose preprocessing to tell, as `create_model` takes them; None for the usual one.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
        FileNotFoundError: if there are no weights at that path.
        WeightsUnavailableError: if the weights cannot be fetched.
    """
    info = _find(name).info
    if weights is None:
        return info
    from zoo.weights.checkpoint import find_checkpoint

    return replace(info, own_preprocessing=find_checkpoint(weights).preprocessing)


def model_options(name: str) -> dict[str, Any]:
    """The options that `create_model` takes for a model -> what they are unless given.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    entry = _find(name)
    parameters = inspect.signature(entry.architecture.__init__).parameters.values()
    usual = {option.name: option.default for option in parameters if option.name not in ("self", "rngs")}
    return usual | entry.options


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Checks the options of a model before it is built, as far as their types tell.

    Raises:
        ValueError: for an unknown name or option, with the nearest known ones, or for a value of another type.
    """
    known = model_options(name)
    types = annotated_types(_find(name).architecture.__init__)
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; {nearest(option, known)}")
        if option in types and not has_type(value, types[option]):
            raise ValueError(f"{name} takes no {option}={reprlib.repr(value)}; it must be {described(types[option])}")


def published_weights() -> Iterator[tuple[str, TorchvisionWeights | TimmWeights]]:
    """The weights that other libraries publish, each after the name of the model that takes them."""
    for name, entry in _registered().items():
        for weights in entry.weights:
            yield name, weights


def _find(name: str) -> _Entry:
    models = _registered()
    if name not in models:
        raise ValueError(f"unknown model {name!r}; {nearest(name, sorted(models))}")
    return models[name]


def _registered() -> dict[str, _Entry]:
    import_module("zoo.models")  # whose modules register what they have
    return _models
