"""Well-known data sets for segmentation, from their official archives: Oxford-IIIT Pet and PASCAL VOC 2012.

Sources: Parkhi et al., "Cats and Dogs", 2012; Everingham et al., "The PASCAL Visual Object Classes Challenge 2012".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.data import tfds_source
from zoo.data.archives import unpack
from zoo.data.dataset import IGNORED, Dataset
from zoo.data.mask_folder import MaskedPictures, classes_as_numbered, padding_note
from zoo.data.picture_index import counted
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True)
class _Archived:
    """Where everything is in the archives of a data set.

    Attributes:
        title: what it is called in tables and messages.
        builder: of TFDS, which has registered the archives.
        archives: their file names.
        folders: what is unpacked of them.
        lists: files with the names of the training and of the test pictures, each the first word of a line.
        picture, mask: their paths, with {} for the name.
        class_names: label -> name.
        classes: value in a mask -> label, or `IGNORED`.
    """

    title: str
    builder: str
    archives: tuple[str, ...]
    folders: tuple[str, ...]
    lists: tuple[str, str]
    picture: str
    mask: str
    class_names: tuple[str, ...]
    classes: Mapping[int, int]


_VOC = "VOCdevkit/VOC2012"
_SETS = {
    "oxford_iiit_pet": _Archived(
        title="Oxford-IIIT Pet",
        builder="oxford_iiit_pet",
        archives=("images.tar.gz", "annotations.tar.gz"),
        folders=("images", "annotations"),
        lists=("annotations/trainval.txt", "annotations/test.txt"),
        picture="images/{}.jpg",
        mask="annotations/trimaps/{}.png",
        class_names=("background", "pet"),
        classes={1: 1, 2: 0, 3: IGNORED},  # pet, ground, and the border between them
    ),
    "voc2012": _Archived(
        title="VOC 2012",
        builder="voc",
        archives=("VOCtrainval_11-May-2012.tar",),
        folders=tuple(f"{_VOC}/{folder}" for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass")),
        lists=(f"{_VOC}/ImageSets/Segmentation/train.txt", f"{_VOC}/ImageSets/Segmentation/val.txt"),
        picture=f"{_VOC}/JPEGImages/{{}}.jpg",
        mask=f"{_VOC}/SegmentationClass/{{}}.png",
        class_names=VOC_CLASSES,
        classes=classes_as_numbered(len(VOC_CLASSES)),
    ),
}
NAMES = tuple(_SETS)


def load(name: str, directory: Path | None, image_size: int) -> Dataset:
    """One of the data sets `NAMES`, with the class of each pixel.

    - "oxford_iiit_pet": 3,680 training and 3,669 test pictures of cats and dogs, told from the background. The border
      of the animal, a few pixels wide, is ignored. 774 MiB are downloaded.
    - "voc2012": 1,464 training and, for the test, 1,449 validation pictures, with 20 classes and the background. The
      borders of objects and what is hard to tell are ignored. 1,907 MiB are downloaded.

    `zoo.data.mask_folder.MaskedPictures` says how pictures are brought to one size. Pixels are normalised with
    ImageNet's statistics.

    Args:
        name: of the data set.
        directory: TFDS's data directory, in which the pictures are, or will be, `NAME/pictures`; None for TFDS's
            default. Copies of the official archives in `downloads/manual` below it are used instead of the network.
        image_size: height and width in pixels of what a net sees.

    Raises:
        DataUnavailableError: if the data set is not there and cannot be had, or is damaged.
        ValueError: if `image_size` is less than 1.
    """
    archived = _SETS[name]
    directory = (directory or tfds_source.default_directory()).expanduser()
    prepared = directory / name / "pictures"
    unpack(archived.title, archived.builder, archived.archives, archived.folders, prepared)
    train, test = (_listed(archived, prepared, file, image_size) for file in archived.lists)
    note = (
        f"{counted(len(train), 'training picture')}, {counted(len(test), 'test picture')}; {padding_note(image_size)}"
    )
    return Dataset(
        archived.title,
        archived.class_names,
        image_size,
        train,
        test,
        IMAGENET_MEAN,
        IMAGENET_STD,
        note,
        task="segmentation",
    )


def _listed(archived: _Archived, prepared: Path, file: str, image_size: int) -> MaskedPictures:
    """The pictures that a file lists, all of which must be there."""
    try:
        names = [line.split()[0] for line in (prepared / file).read_text().splitlines() if line.strip()]
    except OSError as error:
        raise tfds_source.damaged(prepared, error) from None
    pictures, masks = ([form.format(name) for name in names] for form in (archived.picture, archived.mask))
    missing = [path for path in [file, *pictures, *masks] if not (prepared / path).is_file()]
    if missing or not names:
        problem = f"{counted(len(missing), 'file')} missing, {missing[0]} first" if missing else f"{file} is empty"
        raise tfds_source.damaged(prepared, ValueError(problem))
    return MaskedPictures(prepared, pictures, masks, image_size, archived.classes)
