"""`zoo predict`: what a net sees in pictures on disk."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    import numpy as np

    from zoo.preprocessing import Preprocessing
    from zoo.weights.checkpoint import Checkpoint

_BATCH = 32  # pictures at a time


def predict(
    images: Annotated[tuple[Path, ...], tyro.conf.Positional],
    weights: str,
    model: str | None = None,
    top: int = 5,
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Prints the likeliest classes of each picture, as soon as they are known.

    A picture that cannot be read is named on stderr, and the others are classified all the same; the exit status is
    then 1, or 2 if there is no other.

    Args:
        images: files of pictures, or folders, all of whose pictures are taken, however deep.
        weights: directory of a run, a file of weights, or zoo/NAME, torchvision/NAME or timm/NAME.
        model: name of the model, if the weights do not tell.
        top: how many classes of each picture.
        json: print a JSON object for each picture, in a line of its own.
    """
    if not images:
        raise ValueError("there are no images; name the files of some, or folders")
    if top < 1:
        raise ValueError(f"--top must be at least 1, not {top}")
    files = find_files(images)

    import json as json_format

    import jax
    import numpy as np
    from flax import nnx

    import zoo
    from zoo.weights.checkpoint import find_checkpoint, model_of

    checkpoint = find_checkpoint(weights)
    name = model_of(checkpoint, model)
    preprocessing = zoo.model_info(name, weights=checkpoint).preprocessing
    net = zoo.fuse(zoo.create_model(name, weights=checkpoint))
    classify = nnx.jit(lambda net, batch: jax.nn.softmax(net(batch)))
    class_names: list[str] = []
    classified = 0
    for paths, batch in _batches(files, preprocessing):
        # One program for all batches: the last is filled up.
        filled = np.resize(batch, (min(len(files), _BATCH), *batch.shape[1:]))
        shares = np.asarray(classify(net, filled))[: len(paths)]
        class_names = class_names or class_names_of(checkpoint, shares.shape[1])
        for path, row in zip(paths, shares, strict=True):
            likeliest = [(class_names[number], float(row[number])) for number in np.argsort(-row)[:top]]
            if json:
                classes = [{"name": name, "probability": share} for name, share in likeliest]
                print(json_format.dumps({"picture": str(path), "classes": classes}), flush=True)
            else:
                print(path, *(f"  {share:7.2%}  {name}" for name, share in likeliest), sep="\n", flush=True)
        classified += len(paths)
    if classified == 0:
        return 2
    return 0 if classified == len(files) else 1


def find_files(images: Iterable[Path]) -> list[Path]:
    """The pictures that are named, and those in the folders that are.

    Raises:
        DataUnavailableError: if there is no picture in a folder.
    """
    from zoo.data.picture_index import find_pictures

    files: list[Path] = []
    for path in images:
        if not path.is_dir():
            files.append(path)
            continue
        found, left_out = find_pictures(path)
        if left_out:
            print(f"{path}: {left_out}", file=sys.stderr)
        files += found
    return files


def class_names_of(checkpoint: Checkpoint, count: int) -> list[str]:
    """Those that the weights tell, else those of ImageNet if there are as many, else numbers."""
    from zoo.cli.weights import imagenet_names

    return checkpoint.class_names(count) or imagenet_names(count) or [f"class {number}" for number in range(count)]


def _batches(paths: list[Path], preprocessing: Preprocessing) -> Iterator[tuple[list[Path], np.ndarray]]:
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
