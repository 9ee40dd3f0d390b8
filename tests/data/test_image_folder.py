from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from zoo.data.dataset import DataUnavailableError
from zoo.data.image_folder import ImageFolder, load
from zoo.data.split_folders import TEST_FOLDERS
from zoo.pictures import UnreadablePictureError
from zoo.preprocessing import Preprocessing, preprocess


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


@pytest.mark.parametrize("keep", [0, 50])
def test_an_unreadable_image_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c" / "a.png"
    save(path, np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadablePictureError, match=r"cannot read the picture .*a\.png: .*--data\.skip-unreadable"):
        ImageFolder(tmp_path, 8)[0]


def test_unreadable_pictures_are_skipped_and_counted_if_asked_for(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        save(tmp_path / "cat" / name, plain(50))
    save(tmp_path / "dog" / "a.png", plain(200))
    (tmp_path / "cat" / "b.png").write_text("no picture")
    (tmp_path / "cat" / "d.png").write_bytes((tmp_path / "cat" / "a.png").read_bytes()[:40])
    folder = ImageFolder(tmp_path, 4, skip_unreadable=True)
    assert folder.labels.tolist() == [0, 0, 1]
    assert [int(folder[index]["image"].mean()) for index in range(3)] == [50, 50, 200]
    line = "3 pictures, 2 classes, 2 unreadable pictures skipped, the first is cat/b.png"
    assert folder.describe() == line
    (tmp_path / "dog" / "a.png").write_text("no picture")
    with pytest.raises(DataUnavailableError, match=r"no picture in .*dog can be read"):
        ImageFolder(tmp_path, 4, skip_unreadable=True)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"no directory .*missing"):
        ImageFolder(tmp_path / "missing", 8)
    with pytest.raises(DataUnavailableError, match="has no folders"):
        ImageFolder(tmp_path, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnavailableError, match=r"empty has no pictures \(\.avif, \.bmp"):
        ImageFolder(tmp_path, 8)
    with pytest.raises(ValueError, match="image_size must be at least 1, not 0"):
        ImageFolder(tmp_path, 0)


# Below, what people really have.


def only(directory: Path) -> np.ndarray:
    """The pixels of the one picture of a folder, in their own size."""
    folder = ImageFolder(directory, 8)
    assert len(folder) == 1
    return folder[0]["image"]


def left_dark() -> np.ndarray:
    pixels = plain(40)
    pixels[:, 4:] = 200
    return pixels


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("a.bmp", 0), ("a.tif", 0), ("a.TIFF", 0), ("a.gif", 2), ("a.png", 0), ("a.JPG", 3), ("a.jpe", 3),
        ("a.jpeg", 3), ("a.jfif", 3), ("a.webp", 3), ("a.ppm", 0), ("a.pnm", 0), ("a.avif", 5),
    ],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, tolerance: int) -> None:
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    kind = {".tif": "TIFF", ".pnm": "PPM", ".jfif": "JPEG", ".jpe": "JPEG"}.get(Path(name).suffix)
    (tmp_path / "c").mkdir()
    Image.fromarray(left_dark()).save(tmp_path / "c" / name, kind)
    np.testing.assert_allclose(only(tmp_path), left_dark(), atol=tolerance)


def test_a_format_that_pillow_does_not_read_is_an_unreadable_picture(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.avif").write_bytes(b"\0\0\0\x1cftypavis")
    with pytest.raises(UnreadablePictureError, match=r"a\.avif"):
        only(tmp_path)


@pytest.mark.parametrize("name", ["a.gif", "a.tiff", "a.webp", "a.png"])
def test_of_several_frames_or_pages_the_first_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / "c").mkdir()
    frames = [Image.fromarray(plain(value)) for value in (60, 120, 240)]
    frames[0].save(tmp_path / "c" / name, save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "c" / name) as image:
        assert image.n_frames == 3
    np.testing.assert_allclose(only(tmp_path), plain(60), atol=2)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "c").mkdir()
    Image.fromarray(plain(255)).convert(mode).save(tmp_path / "c" / ("a.jpg" if mode == "CMYK" else "a.png"))
    np.testing.assert_allclose(only(tmp_path), plain(255), atol=2)


def test_cmyk_has_its_colours_also_as_photoshop_inverts_them(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red.save(tmp_path / "c" / "a.tif")
    np.testing.assert_array_equal(only(tmp_path)[0, 0], [255, 0, 0])
    (tmp_path / "c" / "a.tif").unlink()
    red.save(tmp_path / "c" / "a.jpg", quality=95)  # Pillow writes Adobe's marker, and inverted values
    assert b"Adobe" in (tmp_path / "c" / "a.jpg").read_bytes()
    np.testing.assert_allclose(only(tmp_path)[0, 0], [255, 0, 0], atol=3)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "big-endian.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    (tmp_path / "c").mkdir()
    greys, rest = [0, 1, 100, 200, 250, 253, 254, 255], [0, 100, -100, 50, 128, -128, 1, 0]
    pixels = np.tile((257 * np.array(greys) + rest).astype(np.uint16), (8, 1))
    image = Image.fromarray(pixels)
    if name == "big-endian.tif":
        image = Image.frombytes("I;16B", (8, 8), pixels.astype(">u2").tobytes())
    image.save(tmp_path / "c" / name)
    assert only(tmp_path)[0, :, 0].tolist() == greys


def test_a_palette_with_a_transparent_colour_shows_white_there(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    image = Image.fromarray(left_dark()).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    image.save(tmp_path / "c" / "a.png", transparency=image.getpixel((0, 0)))
    expected = left_dark()
    expected[:, :4] = 255
    np.testing.assert_allclose(only(tmp_path), expected, atol=1)


def test_rgba_is_laid_over_white(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    image.save(tmp_path / "c" / "a.png")
    assert only(tmp_path)[0, :, 0].tolist() == [255] * 4 + [0] * 4


def test_a_picture_that_exif_turns_is_upright(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(left_dark()).save(tmp_path / "c" / "a.jpg", exif=exif)
    np.testing.assert_allclose(only(tmp_path), left_dark().swapaxes(0, 1), atol=3)


def test_nested_folders_are_of_the_class_whatever_their_names(tmp_path: Path) -> None:
    for value, name in enumerate(("cat/z.png", "cat/a/b/c.png", "cat/a.jpg/d.png", "cat/b-1/x.png", "dog/train/e.png")):
        save(tmp_path / name, plain(10 * value))
    (tmp_path / "dog" / "empty.png").mkdir()
    folder = ImageFolder(tmp_path, 4)
    assert folder.class_names == ("cat", "dog")
    assert folder.labels.tolist() == [0, 0, 0, 0, 1]
    values = [int(folder[index]["image"][0, 0, 0]) for index in range(5)]
    assert values == [20, 10, 30, 0, 40]  # in the order of their paths
    assert not folder.ignored


def test_a_class_may_have_the_name_of_a_picture(tmp_path: Path) -> None:
    save(tmp_path / "x.jpg" / "a.png", plain(0))
    assert ImageFolder(tmp_path, 4).class_names == ("x.jpg",)


def test_hidden_files_and_folders_are_ignored_and_counted(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png", plain(0))
    for name in ("cat/._a.png", "cat/.DS_Store", "cat/.thumbnails/a.png", "cat/__MACOSX/._a.png", "__MACOSX/cat/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = ImageFolder(tmp_path, 4)
    assert (folder.class_names, len(folder)) == (("cat",), 1)
    assert folder.describe() == "1 picture, 1 class, 5 entries ignored (5 hidden)"


def test_what_is_no_picture_is_counted_by_its_kind(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png", plain(0))
    for name in ("a.txt", "cat/b.TXT", "cat/more/c.txt", "cat/README", "cat/Thumbs.db", "beside.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    kinds = "3 .txt, 1 .db, 1 in no class, 1 special, 1 without suffix"
    assert ImageFolder(tmp_path, 4).describe() == f"1 picture, 1 class, 7 entries ignored ({kinds})"


def test_links(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "a.png", plain(10))
    save(tmp_path / "set" / "cat" / "b.png", plain(20))
    for link, target in {
        "cat/folder": "../../elsewhere",
        "cat/picture.png": "../../elsewhere/a.png",
        "dog": "../elsewhere",
        "cat/loop": ".",
        "cat/up": "..",  # through it, the folder of the class is met again
        "cat/broken.png": "nowhere.png",
        "cat/itself.png": "itself.png",
    }.items():
        (tmp_path / "set" / link).symlink_to(target)
    folder = ImageFolder(tmp_path / "set", 4)
    assert folder.class_names == ("cat", "dog")
    assert folder._pictures[folder.labels.tolist().index(1) :] == ["dog/a.png"]
    assert {path for path in folder._pictures if "/up/" not in path} == {
        "cat/b.png", "cat/folder/a.png", "cat/picture.png", "dog/a.png"
    }  # fmt: skip
    assert folder.ignored == {"broken": 2, "repeated": 3}


@pytest.mark.parametrize("test_name", TEST_FOLDERS)
def test_load(tmp_path: Path, test_name: str) -> None:
    fill(tmp_path / "pets", "train/cat", "train/dog", count=3)
    fill(tmp_path / "pets", f"{test_name}/cat", f"{test_name}/dog", count=2)
    dataset = load(tmp_path / "pets", 8)
    assert (dataset.name, dataset.class_names, dataset.image_size) == ("pets", ("cat", "dog"), 8)
    assert (len(dataset.train), len(dataset.test)) == (6, 4)


def fill(directory: Path, *folders: str, count: int = 1) -> None:
    for folder in folders:
        for number in range(count):
            save(directory / folder / f"{number}.png", plain(0))


def test_load_wants_both_splits_or_a_share(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"no directory .*pets$"):
        load(tmp_path / "pets", 8)
    fill(tmp_path, "test/cat", "test/dog")
    with pytest.raises(DataUnavailableError, match=r"no directory .*train\. If .* classes, --data\.test-share 0\.2"):
        load(tmp_path, 8)
    with pytest.raises(ValueError, match=r"test_share is 0\.5, but .*test is there to test on; leave out one"):
        load(tmp_path, 8, test_share=0.5)
    (tmp_path / "test").rename(tmp_path / "train")
    with pytest.raises(DataUnavailableError, match=r"no directory .*test \(nor valid or val\); --data\.test-share"):
        load(tmp_path, 8)


@pytest.mark.parametrize("train", ["train", "."])
def test_load_splits_by_class(tmp_path: Path, train: str) -> None:
    fill(tmp_path / train, "cat", "dog/more", count=10)
    fill(tmp_path / train, "eel", count=2)
    dataset = load(tmp_path, 8, test_share=0.2)
    counts = [
        np.bincount([split[index]["label"] for index in range(len(split))]) for split in (dataset.train, dataset.test)
    ]
    np.testing.assert_array_equal(counts, [[8, 8, 1], [2, 2, 1]])
    assert dataset.note.endswith(": 22 pictures, 3 classes; 0.2 of each class, 5 pictures, for the test")
    (tmp_path / train / "eel" / "0.png").unlink()
    with pytest.raises(ValueError, match="the class eel has a single picture"):
        load(tmp_path, 8, test_share=0.2)


def test_load_wants_two_classes(tmp_path: Path) -> None:
    fill(tmp_path, "train/pictures", "test/pictures", count=2)
    with pytest.raises(ValueError, match=r"train has the single class pictures; there must be two or more"):
        load(tmp_path, 8)


def test_load_wants_the_same_classes(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat", "train/dog", "test/cat", "test/fox")
    with pytest.raises(ValueError, match=r"Only in the former: fox\. Only in the latter: dog\."):
        load(tmp_path, 8)


def test_load_tells_what_it_uses_and_what_not(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat", "train/dog", "val/cat", "val/dog", "valid/cat", "valid/dog")
    (tmp_path / "train" / "cat" / "notes.txt").touch()
    (tmp_path / "notes.txt").touch()
    assert load(tmp_path, 8).note == (
        "train: 2 pictures, 2 classes, 1 entry ignored (1 .txt); valid: 2 pictures, 2 classes; not used: notes.txt, val"
    )


def test_for_random_crops_training_pictures_are_larger(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(2):
            save(
                tmp_path / name / f"{number}.png", np.random.default_rng(number).integers(0, 256, (90, 80, 3), np.uint8)
            )
    dataset = load(tmp_path, 56, test_share=0.5, random_crops=True)
    assert (dataset.image_size, dataset.train_image_size) == (56, 64)
    assert dataset.train[0]["image"].shape == (64, 64, 3)
    assert dataset.test[0]["image"].shape == (56, 56, 3)
    plain = load(tmp_path, 56, test_share=0.5)
    assert plain.train_image_size is None
    np.testing.assert_array_equal(dataset.test[0]["image"], plain.test[0]["image"])
    larger = load(tmp_path, 64, test_share=0.5)
    np.testing.assert_array_equal(dataset.train[0]["image"], larger.train[0]["image"])


@pytest.mark.parametrize("test_share", [0, 0.5])
def test_pictures_are_tested_on_as_the_weights_want_them(tmp_path: Path, test_share: float) -> None:
    how = Preprocessing(48, 60, "bicubic", mean=(0.0,) * 3, std=(1.0,) * 3)
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    for folder in ("cat", "dog"):
        for part in (".",) if test_share else ("train", "test"):
            for number in range(2):
                save(tmp_path / part / folder / f"{number}.png", picture)
    dataset = load(tmp_path, 32, test_share=test_share, preprocessing=how)
    assert dataset.preprocessing == Preprocessing(32, 40, "bicubic", mean=(0.0,) * 3, std=(1.0,) * 3)
    expected = preprocess([picture], dataset.preprocessing)[0]
    np.testing.assert_array_equal(np.float32(dataset.test[0]["image"]) / np.float32(255), expected)
    plain = load(tmp_path, 32, test_share=test_share)
    np.testing.assert_array_equal(dataset.train[0]["image"], plain.train[0]["image"])
    assert (dataset.test[0]["image"] != plain.test[0]["image"]).any()
