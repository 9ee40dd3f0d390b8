"""`zoo predict`: what a net sees in pictures on disk."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    import numpy as np

    from zoo.preprocessing import Preprocessing

_TOP = 5
_BATCH = 32  # pictures at a time


def predict(images: Annotated[tuple[Path, ...], tyro.conf.Positional], weights: str, model: str | None = None) -> int:
    """Prints the five likeliest classes of each picture.

    A picture that cannot be read is named on stderr, and the others are classified all the same; the exit status is
    then 1, or 2 if there is no other.

    Args:
        images: files of pictures.
        weights: directory of a run, a file of weights, or torchvision/NAME or timm/NAME.
        model: name of the model, if the weights do not tell.
    """
    if not images:
        raise ValueError("there are no images; name the files of some")

    import jax
    import numpy as np
    from flax import nnx

    import zoo
    from zoo.cli.weights import imagenet_names, model_of
    from zoo.weights.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(weights)
    name = model_of(checkpoint, model)
    preprocessing = zoo.model_info(name, weights=weights).preprocessing
    net = zoo.fuse(zoo.create_model(name, weights=weights))
    classify = nnx.jit(lambda net, batch: jax.nn.softmax(net(batch)))
    classified = 0
    for paths, batch in _batches(images, preprocessing):
        shares = np.asarray(classify(net, batch))
        count = shares.shape[1]
        class_names = (
            checkpoint.class_names(count) or imagenet_names(count) or [f"class {number}" for number in range(count)]
        )
        for path, row in zip(paths, shares, strict=True):
            print(path)
            for number in np.argsort(-row)[:_TOP]:
                print(f"  {row[number]:7.2%}  {class_names[number]}")
        classified += len(paths)
    if classified == 0:
        return 2
    return 0 if classified == len(images) else 1


def _batches(paths: tuple[Path, ...], preprocessing: Preprocessing) -> Iterator[tuple[list[Path], np.ndarray]]:
    """The pictures that can be read, as the net takes them; the others are named on stderr."""
    import numpy as np
    from PIL import Image

    import zoo
    from zoo.pictures import UnreadablePictureError, read_picture

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # It does not say of which file.
    read: list[tuple[Path, np.ndarray]] = []
    for number, path in enumerate(paths, start=1):
        try:
            read.append((path, zoo.preprocess([read_picture(path, preprocessing.resize_size)], preprocessing)[0]))
        except UnreadablePictureError as error:
            print(f"zoo: error: {error}", file=sys.stderr)
        if read and (len(read) == _BATCH or number == len(paths)):
            yield [path for path, _ in read], np.stack([picture for _, picture in read])
            read.clear()
