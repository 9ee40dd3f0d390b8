"""The pictures that a net's activations are measured on before it is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.dataset import DataUnavailableError
from zoo.data.names import FOLDERS, NAMES, is_data_set
from zoo.data.picture_index import find_pictures
from zoo.export.errors import ExportError
from zoo.pictures import read_picture
from zoo.preprocessing import Preprocessing, preprocess

MOST_PICTURES = 500


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures as a net takes them.

    Attributes:
        images: float32 (N, H, W, 3), normalised.
        note: where they come from and which were left out, in a line.
    """

    images: np.ndarray
    note: str


def read_pictures(data: str, preprocessing: Preprocessing) -> Pictures:
    """Reads at most 500 pictures, at equal distances from all that there are, as a net takes them.

    Args:
        data: a folder, whose pictures are taken however deep they lie, or the name of a data set whose training images
            are: any but folders.
        preprocessing: of the net.

    Raises:
        ExportError: if there is no such folder or data set, or there are no pictures in it.
        UnreadablePictureError: if one cannot be read; the message names its file.
    """
    folder = Path(data)
    if folder.is_dir():
        try:
            pictures, left_out = find_pictures(folder)
        except DataUnavailableError as error:
            raise ExportError(str(error)) from error
        chosen = [pictures[index] for index in _spread(len(pictures))]
        images = [_preprocessed(read_picture(path, preprocessing.resize_size), preprocessing) for path in chosen]
        note = f"{len(images)} of {len(pictures)} pictures in {folder}"
        return Pictures(np.stack(images), ", ".join(filter(None, (note, left_out))))
    if data in FOLDERS or not is_data_set(data):
        names = [name for name in NAMES if name not in FOLDERS]
        raise ExportError(f"{data!r} is no folder and no data set's name; there are {', '.join(names)} and tfds/NAME")
    from zoo.data.load import load

    try:
        examples = load(data, image_size=preprocessing.input_size).train
    except DataUnavailableError as error:
        raise ExportError(str(error)) from error
    images = [_preprocessed(examples[index]["image"], preprocessing) for index in _spread(len(examples))]
    return Pictures(np.stack(images), f"{len(images)} of {len(examples)} training images of {data}")


def _preprocessed(picture: Image.Image | np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    return preprocess([picture], preprocessing)[0]


def _spread(count: int) -> list[int]:
    """The numbers of at most 500 of `count` pictures, at equal distances."""
    chosen = min(count, MOST_PICTURES)
    return [index * count // chosen for index in range(chosen)]
