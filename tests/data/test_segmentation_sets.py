from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.data import segmentation_sets
from zoo.data.dataset import IGNORED, Dataset, DataUnavailableError
from zoo.data.load import load
from zoo.preprocessing import IMAGENET_MEAN

RANDOM = np.random.default_rng(0)
NAMES = {"train": ["a_1", "a_2", "b_1"], "test": ["c_1", "c_2"]}
VOC = "VOCdevkit/VOC2012"


def picture(colour: int, kind: str = "JPEG") -> bytes:
    mode = "RGB" if kind == "JPEG" else "RGBA"
    return encoded(Image.new(mode, (6, 6), (colour,) * 3), kind)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    with io.BytesIO() as buffer:
        image.save(buffer, kind)
        return buffer.getvalue()


def pet() -> tuple[str, dict[str, dict[str, bytes]], dict[str, np.ndarray]]:
    images: dict[str, bytes] = {}
    annotations: dict[str, bytes] = {
        "annotations/trainval.txt": b"".join(f"{name} 1 1 1\n".encode() for name in NAMES["train"]),
        "annotations/test.txt": b"".join(f"{name} 2 2 1\n".encode() for name in NAMES["test"]),
        "annotations/trimaps/._a_1.png": b"what a Mac leaves behind",
    }
    expected = {}
    for number, name in enumerate([*NAMES["train"], *NAMES["test"], "listed_nowhere"]):
        trimap = RANDOM.integers(1, 4, (6, 6), np.uint8)
        images[f"images/{name}.jpg"] = picture(40 * number, "PNG" if name == "a_2" else "JPEG")  # whatever its name
        annotations[f"annotations/trimaps/{name}.png"] = encoded(Image.fromarray(trimap))
        expected[name] = np.select([trimap == 1, trimap == 2], [1, 0], IGNORED)
    return "oxford_iiit_pet", {"images.tar.gz": images, "annotations.tar.gz": annotations}, expected


def voc() -> tuple[str, dict[str, dict[str, bytes]], dict[str, np.ndarray]]:
    files = {
        f"{VOC}/ImageSets/Segmentation/train.txt": "\n".join(NAMES["train"]).encode(),
        f"{VOC}/ImageSets/Segmentation/val.txt": "\n".join(NAMES["test"]).encode() + b"\n",
        f"{VOC}/JPEGImages/not_for_segmentation.jpg": picture(0),
        f"{VOC}/Annotations/a_1.xml": b"<boxes/>",
    }
    expected = {}
    for number, name in enumerate([*NAMES["train"], *NAMES["test"]]):
        mask = np.append(RANDOM.integers(0, 21, 35), IGNORED).astype(np.uint8).reshape(6, 6)
        palette = Image.fromarray(mask)
        palette.putpalette(RANDOM.integers(0, 256, 768).tolist())
        files[f"{VOC}/JPEGImages/{name}.jpg"] = picture(40 * number)
        files[f"{VOC}/SegmentationClass/{name}.png"] = encoded(palette)
        expected[name] = mask
    return "voc", {"VOCtrainval_11-May-2012.tar": files}, expected


def put_in_manual_folder(
    directory: Path, builder: str, contents: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes small archives, which TFDS takes for the official ones."""
    import tensorflow_datasets as tfds

    known = dict(tfds.builder_cls(builder).url_infos)
    manual = directory / "downloads" / "manual"
    manual.mkdir(parents=True)
    for name, files in contents.items():
        with tarfile.open(manual / name, "w") as tar:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        (url,) = (url for url, info in known.items() if info.filename == name)  # the official one has this name
        content = (manual / name).read_bytes()
        known[url] = type(known[url])(len(content), hashlib.sha256(content).hexdigest(), name)
    monkeypatch.setattr(tfds.builder_cls(builder), "url_infos", known)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of the network is an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def check(dataset: Dataset, expected: dict[str, np.ndarray]) -> None:
    assert (dataset.task, dataset.image_size, dataset.mean) == ("segmentation", 6, IMAGENET_MEAN)
    number = 0
    for split, names in ((dataset.train, NAMES["train"]), (dataset.test, NAMES["test"])):
        assert len(split) == len(names)
        for index, name in enumerate(names):
            np.testing.assert_array_equal(split[index]["label"], expected[name])
            np.testing.assert_allclose(split[index]["image"], 40 * number, atol=3)
            number += 1


@pytest.mark.usefixtures("offline")
def test_pet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder, contents, expected = pet()
    put_in_manual_folder(tmp_path, builder, contents, monkeypatch)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    dataset = load("oxford_iiit_pet", image_size=6)
    check(dataset, expected)
    assert (dataset.name, dataset.class_names) == ("Oxford-IIIT Pet", ("background", "pet"))
    assert dataset.note == "3 training pictures, 2 test pictures; padded, not cropped, to 6 x 6"
    for archive in contents:
        (tmp_path / "downloads" / "manual" / archive).unlink()
    check(load("oxford_iiit_pet", tmp_path, image_size=6), expected)  # from what was unpacked


@pytest.mark.usefixtures("offline")
def test_voc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder, contents, expected = voc()
    put_in_manual_folder(tmp_path, builder, contents, monkeypatch)
    dataset = load("voc2012", tmp_path, image_size=6)
    check(dataset, expected)
    assert (dataset.name, len(dataset.class_names)) == ("VOC 2012", 21)
    assert not list(tmp_path.rglob("*.xml"))
    sampled = load("voc2012", tmp_path, image_size=6, train_examples=2)
    assert (len(sampled.train), len(sampled.test)) == (2, 2)


def test_the_names_of_vocs_classes_are_those_of_tfds() -> None:
    from tensorflow_datasets.object_detection import voc

    assert ("background", *voc._VOC_LABELS) == segmentation_sets.VOC_CLASSES


@pytest.mark.parametrize("name", segmentation_sets.NAMES)
def test_tfds_has_registered_the_archives(name: str) -> None:
    import tensorflow_datasets as tfds

    archived = segmentation_sets._SETS[name]
    sizes = {info.filename: info.size for info in tfds.builder_cls(archived.builder).url_infos.values()}
    total = sum(sizes[archive] for archive in archived.archives) / 2**20
    assert f"{total:,.0f} MiB" in segmentation_sets.load.__doc__


def test_a_directory_from_which_something_is_missing_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, contents, _ = pet()
    put_in_manual_folder(tmp_path, builder, contents, monkeypatch)
    load("oxford_iiit_pet", tmp_path, image_size=6)
    prepared = tmp_path / "oxford_iiit_pet" / "pictures"
    (prepared / "images" / "a_2.jpg").unlink()
    (prepared / "annotations" / "trimaps" / "b_1.png").unlink()
    with pytest.raises(DataUnavailableError, match=r"damaged \(2 files missing, images/a_2\.jpg first\)\. Remove"):
        load("oxford_iiit_pet", tmp_path, image_size=6)
    (prepared / "annotations" / "trainval.txt").write_text("")
    with pytest.raises(DataUnavailableError, match=r"damaged \(annotations/trainval\.txt is empty\)"):
        load("oxford_iiit_pet", tmp_path, image_size=6)
    (prepared / "annotations" / "trainval.txt").unlink()
    with pytest.raises(DataUnavailableError, match=r"damaged \(.*trainval\.txt.*Remove that directory"):
        load("oxford_iiit_pet", tmp_path, image_size=6)


def test_a_trimap_of_other_values_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder, contents, _ = pet()
    contents["annotations.tar.gz"]["annotations/trimaps/a_1.png"] = encoded(Image.new("L", (6, 6), 0))
    put_in_manual_folder(tmp_path, builder, contents, monkeypatch)
    with pytest.raises(ValueError, match=r"trimaps/a_1\.png has 36 pixels of 0"):
        load("oxford_iiit_pet", tmp_path, image_size=6).train[0]
