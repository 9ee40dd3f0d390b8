"""`Net`: what is exported, a trained net with what belongs to it wherever it runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo.blocks.fusion import fuse
from zoo.export.errors import ExportError
from zoo.preprocessing import Preprocessing
from zoo.registry import create_model, model_info
from zoo.weights.checkpoint import find_checkpoint, model_of

_BATCH = 32  # examples at a time of the net itself


@dataclass(frozen=True, eq=False)
class Net:
    """A net to export.

    Attributes:
        model: maps images (N, H, W, 3) to logits, float32, (N, classes) or, of each pixel, (N, H, W, classes); it is
            left as it is.
        preprocessing: what pictures go through before it.
        class_names: of the classes, in the order of the logits; None if they have none.
        name: of the model, for whoever reads the description; None if it has none.
        weights_sha256: of the file that the weights come from; None if they come from none.

    Raises:
        ExportError: if the model's parameters are not float32, or if what it gives are not logits, or not as many as
            there are names.
    """

    model: nnx.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None = None
    name: str | None = None
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        for path, parameter in nnx.to_flat_state(nnx.state(self.model, nnx.Param)):
            if parameter.dtype != jnp.float32:
                where = ".".join(map(str, path))
                raise ExportError(f"nets are exported in float32, but {where} is {parameter.dtype.name}")
        classes = self.num_classes
        if self.class_names is not None and len(self.class_names) != classes:
            raise ExportError(f"there are {len(self.class_names)} names for {classes} classes")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of the images that the net was trained on."""
        return self.preprocessing.input_size, self.preprocessing.input_size, 3

    @property
    def num_classes(self) -> int:
        """How many logits it gives for an image, or for each of its pixels."""
        return self.logits_shape[-1]

    @cached_property
    def logits_shape(self) -> tuple[int, ...]:
        """(classes,), or (H, W, classes): what it gives for an image."""
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        logits = jax.eval_shape(_inference_of(self.model), images)
        shape = getattr(logits, "shape", ())
        if shape[:-1] not in ((1,), (1, *self.image_shape[:2])) or logits.dtype != jnp.float32:
            raise ExportError(
                "a net must give float32 logits (N, classes), or (N, H, W, classes) at the size of the image, but for "
                f"one image it gives {logits}"
            )
        return tuple(shape[1:])

    def labelled(self, count: int) -> str:
        """What has a class in so many pictures, for messages."""
        return f"the pixels of {count} pictures" if len(self.logits_shape) > 1 else f"{count} pictures"

    @cached_property
    def infer(self) -> Callable[[jax.Array], jax.Array]:
        """What is exported: the logits of images, batch norms folded into the convolutions (`zoo.fuse`)."""
        return _inference_of(fuse(self.model))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """What the model itself gives, on the CPU and with its batch norms: what an export has to agree with.

        Args:
            images: float32 (N, H, W, 3).

        Raises:
            ExportError: if the logits are not finite, or if this process may not use the CPU.
        """
        try:
            cpu = jax.local_devices(backend="cpu")[0]
        except RuntimeError as error:
            raise ExportError("exports are compared on the CPU, which JAX_PLATFORMS excludes") from error
        with jax.default_device(cpu):
            batches = [np.asarray(self._compiled(images[at : at + _BATCH])) for at in range(0, len(images), _BATCH)]
        logits = np.concatenate(batches)
        if not np.isfinite(logits).all():
            raise ExportError("the net's own logits are not finite")
        return logits

    @cached_property
    def _compiled(self) -> Any:
        return jax.jit(_inference_of(self.model))


def read_net(weights: str | os.PathLike[str], model: str | None = None) -> Net:
    """A net from its weights.

    Args:
        weights: as `zoo.create_model` takes them: the directory of a run, a file, zoo/NAME, torchvision/NAME or
            timm/NAME.
        model: its name; None if the weights tell.

    Raises:
        ValueError: if the weights do not tell the model and it is not given, or do not fit it.
        FileNotFoundError: if there are no weights at that path.
        WeightsUnavailableError: if they cannot be fetched or read here.
    """
    checkpoint = find_checkpoint(weights)
    name = model_of(checkpoint, model)
    preprocessing = model_info(name, weights=checkpoint).preprocessing
    net = create_model(name, weights=checkpoint)
    names = checkpoint.class_names(net.num_classes) if net.num_classes else None
    with checkpoint.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Net(net, preprocessing, None if names is None else tuple(names), name, digest)


def _inference_of(model: nnx.Module) -> Callable[[jax.Array], jax.Array]:
    """The model in evaluation mode, as a pure function of images."""
    model = nnx.clone(model)
    model.eval()
    graph, state = nnx.split(model)

    def infer(images: jax.Array) -> jax.Array:
        merged: Any = nnx.merge(graph, state, copy=True)
        return merged(images)

    return infer
