"""`zoo predict`: what a net sees in pictures on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

_TOP = 5


def predict(images: Annotated[tuple[Path, ...], tyro.conf.Positional], weights: str, model: str | None = None) -> None:
    """Prints the five likeliest classes of each picture.

    Args:
        images: files of pictures.
        weights: directory of a run, a file of weights, or torchvision/NAME or timm/NAME.
        model: name of the model, where the weights do not tell.
    """
    if not images:
        raise ValueError("there are no images; name the files of some")

    import jax
    import numpy as np
    from flax import nnx
    from PIL import Image

    import zoo
    from zoo.cli.weights import model_of
    from zoo.weights.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(weights)
    name = model_of(checkpoint, model)
    batch = zoo.preprocess(map(Image.open, images), zoo.model_info(name, weights=weights))
    net = zoo.create_model(name, weights=weights)
    net.eval()
    shares = np.asarray(jax.nn.softmax(nnx.jit(lambda net, batch: net(batch))(net, batch)))
    class_names = checkpoint.description.get("class_names") or _class_names(shares.shape[1])
    for path, row in zip(images, shares, strict=True):
        print(path)
        for number in np.argsort(-row)[:_TOP]:
            print(f"  {row[number]:7.2%}  {class_names[number]}")


def _class_names(classes: int) -> list[str]:
    """ImageNet's if there are as many."""
    from tensorflow_datasets.datasets.siscore.labels import IMAGENET_LABELS_LIST

    if classes == len(IMAGENET_LABELS_LIST):
        return [synonyms.split(",")[0] for synonyms in IMAGENET_LABELS_LIST]
    return [f"class {number}" for number in range(classes)]
