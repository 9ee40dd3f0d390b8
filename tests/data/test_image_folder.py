from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.dataset import DataUnavailableError
from zoo.data.image_folder import ImageFolder, load
from zoo.pictures import UnreadablePictureError


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def plain(value: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_classes_are_labelled_and_files_taken_in_alphabetical_order(tmp_path: Path) -> None:
    save(tmp_path / "dog" / "a.PNG", plain(30))
    save(tmp_path / "cat" / "b.png", plain(20))
    save(tmp_path / "cat" / "a.webp", plain(10))
    save(tmp_path / "dog" / "b.jpeg", plain(40))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "notes.txt").write_text("not a class")
    (tmp_path / ".cache").mkdir()
    folder = ImageFolder(tmp_path, 4)
    assert folder.class_names == ("cat", "dog")
    examples = [folder[index] for index in range(len(folder))]
    assert [example["label"] for example in examples] == [0, 0, 1, 1]
    assert all(example["image"].shape == (4, 4, 3) and example["image"].dtype == np.uint8 for example in examples)
    np.testing.assert_allclose([example["image"].mean() for example in examples], [10, 20, 30, 40], atol=2)


@pytest.mark.parametrize("upright", [False, True])
def test_the_shorter_side_is_resized_and_the_centre_kept(tmp_path: Path, upright: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 3), np.uint8)
    whole = Image.fromarray(pixels).resize((12, 6), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((3, 0, 9, 6)))
    save(tmp_path / "c" / "a.png", pixels.swapaxes(0, 1) if upright else pixels)
    image = ImageFolder(tmp_path, 6)[0]["image"]
    np.testing.assert_allclose(image.swapaxes(0, 1) if upright else image, expected, atol=1)  # Pillow's rounding


def test_making_it_smaller_averages(tmp_path: Path) -> None:
    columns = np.tile(np.array([[[0], [200]]], np.uint8), (16, 8, 3))
    save(tmp_path / "c" / "a.png", columns)
    image = ImageFolder(tmp_path, 4)[0]["image"].astype(int)
    np.testing.assert_allclose(image[:, 1:-1], 100, atol=15)  # without antialiasing: 0 or 200


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "c").mkdir()
    Image.fromarray(plain(255)).convert(mode).save(tmp_path / "c" / ("a.jpg" if mode == "CMYK" else "a.png"))
    np.testing.assert_allclose(ImageFolder(tmp_path, 8)[0]["image"], plain(255), atol=2)


@pytest.mark.parametrize("keep", [0, 50])
def test_an_unreadable_image_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c" / "a.png"
    save(path, np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadablePictureError, match=r"cannot read the picture .*a\.png"):
        ImageFolder(tmp_path, 8)[0]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"no directory .*missing"):
        ImageFolder(tmp_path / "missing", 8)
    with pytest.raises(DataUnavailableError, match="has no folders"):
        ImageFolder(tmp_path, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnavailableError, match="empty has no images"):
        ImageFolder(tmp_path, 8)
    with pytest.raises(ValueError, match="image_size must be at least 1, not 0"):
        ImageFolder(tmp_path, 0)


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_load(tmp_path: Path, test_name: str) -> None:
    for split, count in (("train", 3), (test_name, 2)):
        for name in ("cat", "dog"):
            for number in range(count):
                save(tmp_path / "pets" / split / name / f"{number}.png", plain(0))
    dataset = load(tmp_path / "pets", 8)
    assert (dataset.name, dataset.class_names, dataset.image_size) == ("pets", ("cat", "dog"), 8)
    assert (len(dataset.train), len(dataset.test)) == (6, 4)


def test_load_wants_both_splits(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"no directory .*pets"):
        load(tmp_path / "pets", 8)
    save(tmp_path / "test" / "cat" / "a.png", plain(0))
    with pytest.raises(DataUnavailableError, match=r"no directory .*train$"):
        load(tmp_path, 8)
    (tmp_path / "test").rename(tmp_path / "train")
    with pytest.raises(DataUnavailableError, match=r"no directory .*val \(nor .*test\)"):
        load(tmp_path, 8)


def test_load_wants_the_same_classes(tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "test/cat", "test/fox"):
        save(tmp_path / folder / "a.png", plain(0))
    with pytest.raises(ValueError, match=r"Only in the former: fox\. Only in the latter: dog\."):
        load(tmp_path, 8)


def test_load_tells_what_it_does_not_use(tmp_path: Path) -> None:
    for file in ("train/cat/a.png", "train/cat/more/b.png", "train/dog/a.png", "test/cat/a.png", "test/dog/a.png"):
        save(tmp_path / file, plain(0))
    assert load(tmp_path, 8).note == "train: 2 pictures, 2 classes, 1 file ignored; test: 2 pictures, 2 classes"
    for file in ("train/notes.txt", "train/cat/a.tiff", "train/.hidden/a.png", "train/dog/link.png"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).symlink_to(tmp_path / "nowhere")
    for name in ("val", "more"):
        (tmp_path / name).mkdir()
    assert load(tmp_path, 8).note == (
        "train: 2 pictures, 2 classes, 5 files ignored; test: 2 pictures, 2 classes; not used: more, val"
    )
