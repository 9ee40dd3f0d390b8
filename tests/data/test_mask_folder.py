from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from zoo.data import fair
from zoo.data.dataset import IGNORED, Dataset, DataUnavailableError
from zoo.data.mask_folder import PADDING, MaskedPictures, load, load_test
from zoo.data.stream import batches
from zoo.pictures import UnreadablePictureError

CLASSES = {0: 0, 1: 1, 2: 2, IGNORED: IGNORED}
RANDOM = np.random.default_rng(0)


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def save_pair(directory: Path, name: str, mask: np.ndarray | None = None, suffix: str = ".png") -> np.ndarray:
    """A mask and a picture whose red channel is 80 times the class."""
    mask = RANDOM.integers(0, 3, (6, 6), np.uint8) if mask is None else mask
    save(directory / "images" / f"{name}{suffix}", np.uint8(80) * np.stack([mask, 0 * mask, 0 * mask], -1))
    save(directory / "masks" / f"{name}.png", mask)
    return mask


def one_pair(directory: Path, image_size: int, suffix: str = ".png") -> MaskedPictures:
    return MaskedPictures(directory, [f"images/a{suffix}"], ["masks/a.png"], image_size, CLASSES)


def train_and_test(directory: Path, count: int = 2) -> None:
    for part in ("train", "test"):
        for number in range(count):
            save_pair(directory / part, f"{number}")
    (directory / "classes.txt").write_text("ground\ntree\nhouse\n")


def test_an_example_of_its_own_size_is_as_it_is_in_the_files(tmp_path: Path) -> None:
    mask = save_pair(tmp_path, "a")
    example = one_pair(tmp_path, 6)[0]
    assert (example["image"].dtype, example["image"].shape) == (np.uint8, (6, 6, 3))
    assert example["label"].dtype == np.uint8
    np.testing.assert_array_equal(example["label"], mask)
    np.testing.assert_array_equal(example["image"][..., 0], 80 * mask)


@pytest.mark.parametrize("upright", [False, True])
def test_the_longer_side_is_resized_and_the_rest_is_padded(tmp_path: Path, upright: bool) -> None:
    mask = RANDOM.integers(0, 3, (12, 24), np.uint8)
    pixels = RANDOM.integers(0, 256, (12, 24, 3), np.uint8)
    save(tmp_path / "images/a.png", pixels.swapaxes(0, 1) if upright else pixels)
    save(tmp_path / "masks/a.png", mask.T if upright else mask)
    example = one_pair(tmp_path, 8)[0]
    image, label = example["image"], example["label"]
    if upright:
        image, label = image.swapaxes(0, 1), label.T
    expected = np.asarray(Image.fromarray(pixels).resize((8, 4), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(image[:4], expected, atol=1)  # Pillow's rounding
    assert (image[4:] == (124, 116, 104)).all()
    np.testing.assert_array_equal(label[:4], mask[1::3, 1::3])  # the middle of each three
    assert (label[4:] == IGNORED).all()
    assert PADDING == (124, 116, 104)


def test_small_pictures_are_enlarged(tmp_path: Path) -> None:
    mask = save_pair(tmp_path, "a", np.array([[0, 1, 2]], np.uint8))
    label = one_pair(tmp_path, 6)[0]["label"]
    np.testing.assert_array_equal(label[:2], mask.repeat(2, 0).repeat(2, 1))
    assert (label[2:] == IGNORED).all()


def test_a_line_keeps_a_pixel(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", np.ones((1, 100), np.uint8))
    assert one_pair(tmp_path, 8)[0]["label"].tolist() == [[1] * 8] + [[IGNORED] * 8] * 7


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_of_a_picture_turns_its_mask_too(tmp_path: Path, orientation: int) -> None:
    mask = RANDOM.integers(0, 3, (4, 6), np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    save(tmp_path / "images/a.png", 80 * np.stack([mask] * 3, -1), exif=exif)
    save(tmp_path / "masks/a.png", mask)
    example = one_pair(tmp_path, 6)[0]
    is_known = example["label"] != IGNORED
    assert is_known.sum() == 24
    np.testing.assert_array_equal(example["image"][..., 0][is_known], 80 * example["label"][is_known])
    assert is_known[:, 4:].any() == (orientation <= 4)  # a quarter turn makes it upright


@pytest.mark.parametrize("form", ["grey", "palette", "2-bit palette"])
def test_masks_hold_indices(tmp_path: Path, form: str) -> None:
    mask = save_pair(tmp_path, "a")
    if form != "grey":
        image = Image.fromarray(mask)
        image.putpalette([200, 10, 10, 3, 2, 1, 7, 7, 7])
        assert image.mode == "P"
        image.save(tmp_path / "masks/a.png", bits=2 if form == "2-bit palette" else 8)
    np.testing.assert_array_equal(one_pair(tmp_path, 6)[0]["label"], mask)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda mask: Image.fromarray(mask).convert("RGB"), "must be a PNG of mode L or P, not a PNG of mode RGB"),
        (lambda mask: Image.fromarray(mask).convert("1"), "not a PNG of mode 1"),
        (lambda mask: Image.fromarray(mask.astype(np.uint16)), "not a PNG of mode I;16"),
        (lambda mask: Image.fromarray(mask).convert("LA"), "not a PNG of mode LA"),
    ],
)
def test_other_modes_are_refused_by_the_files_name(tmp_path: Path, make, message: str) -> None:
    mask = save_pair(tmp_path, "a")
    make(mask).save(tmp_path / "masks/a.png")
    with pytest.raises(UnreadablePictureError, match=rf"masks/a\.png: .*{message}"):
        one_pair(tmp_path, 6)[0]


def test_grey_of_few_bits_and_other_formats_are_refused(tmp_path: Path) -> None:
    mask = save_pair(tmp_path, "a")
    Image.fromarray(mask).save(tmp_path / "masks/a.png", "JPEG")
    with pytest.raises(UnreadablePictureError, match=r"masks/a\.png: .*PNG of mode L or P, not a JPEG of mode L"):
        one_pair(tmp_path, 6)[0]
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    (tmp_path / "masks/a.png").write_bytes(few_bits((tmp_path / "masks/a.png").read_bytes()))
    with pytest.raises(UnreadablePictureError, match=r"masks/a\.png: a mask in grey must have 8 bits a pixel, not 4"):
        one_pair(tmp_path, 6)[0]


def few_bits(png: bytes) -> bytes:
    """The same with a header that says 4 bits a pixel."""
    import struct
    import zlib

    header = png[12:24] + b"\4" + png[25:29]  # from the name of the chunk on
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def test_sizes_that_differ_are_an_error_that_names_both_files(tmp_path: Path) -> None:
    save_pair(tmp_path, "a")
    save(tmp_path / "masks/a.png", np.zeros((6, 5), np.uint8))
    with pytest.raises(ValueError, match=r"masks/a\.png has 5 x 6 pixels, its picture .*images/a\.png 6 x 6 pixels$"):
        one_pair(tmp_path, 6)[0]


def test_a_mask_that_was_turned_already_is_an_error(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    save(tmp_path / "images/a.jpg", np.zeros((4, 6, 3), np.uint8), exif=exif)
    save(tmp_path / "masks/a.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(ValueError, match=r"4 x 6 pixels, .* 6 x 4 pixels, as it is stored: its EXIF orientation turns"):
        one_pair(tmp_path, 6, ".jpg")[0]


def test_a_value_that_is_no_class_is_an_error(tmp_path: Path) -> None:
    mask = save_pair(tmp_path, "a")
    mask[0, :2] = 3
    save(tmp_path / "masks/a.png", mask)
    with pytest.raises(ValueError, match=r"masks/a\.png has 2 pixels of 3, .* are 0 to 2, and 255 is ignored"):
        one_pair(tmp_path, 2)[0]  # even if none is left of it in the smaller size


def test_other_values_than_classes_may_be_in_the_files(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", np.array([[1, 2, 3]], np.uint8))
    source = MaskedPictures(tmp_path, ["images/a.png"], ["masks/a.png"], 3, {1: 1, 2: 0, 3: IGNORED})
    assert source[0]["label"][0].tolist() == [1, 0, IGNORED]
    save_pair(tmp_path, "a", np.array([[0]], np.uint8))
    with pytest.raises(ValueError, match="1 pixel of 0, which is no class: these are 1 to 2, and 3 is ignored"):
        source[0]


def test_huge_pictures_keep_their_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.pictures._LARGE", 1000)  # from there on pictures are made smaller as they are read
    mask = np.zeros((231, 330), np.uint8)
    mask[99:, 165:] = 2  # the lower right, from row 3 and column 5 of 7 and 10
    save_pair(tmp_path, "a", mask)
    example = one_pair(tmp_path, 10)[0]
    np.testing.assert_array_equal(example["label"][:7], mask[16::33, 16::33])
    difference = np.abs(example["image"][:7, ..., 0] - 80.0 * example["label"][:7])
    difference[2:4], difference[:, 4:6] = 0, 0  # along the edge
    assert difference.max() == 0


def test_sources_are_picklable_and_have_a_fingerprint_of_their_paths(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    first, again = load(tmp_path, 4).train, load(tmp_path, 8).train
    copied = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copied[1]["label"], first[1]["label"])
    assert first.fingerprint == again.fingerprint == copied.fingerprint
    save_pair(tmp_path / "train", "another")
    assert load(tmp_path, 4).train.fingerprint != first.fingerprint
    assert fair.labels_of(first) is None


def check(dataset: Dataset) -> None:
    assert dataset.task == "segmentation"
    for split in (dataset.train, dataset.test):
        images, labels = next(batches(split, len(split)))
        assert images.shape == (len(split), 6, 6, 3)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(images[..., 0], 80 * labels)


@pytest.mark.parametrize("test_name", ["test", "valid", "val"])
def test_load(tmp_path: Path, test_name: str) -> None:
    for number in range(3):
        save_pair(tmp_path / "town" / "train", f"more/{number}.old", suffix=".bmp")
    save_pair(tmp_path / "town" / test_name, "a", suffix=".webp")
    Image.new("RGB", (6, 6), (160, 0, 0)).save(tmp_path / "town" / test_name / "images" / "a.webp", lossless=True)
    save(tmp_path / "town" / test_name / "masks" / "a.png", np.full((6, 6), 2, np.uint8))
    (tmp_path / "town" / "classes.txt").write_bytes("\ufeffground\r\nbig tree\r\nhouse\r\n\r\n".encode())
    (tmp_path / "town" / "notes.md").touch()
    dataset = load(tmp_path / "town", 6)
    check(dataset)
    assert (dataset.name, dataset.class_names) == ("town", ("ground", "big tree", "house"))
    assert (len(dataset.train), len(dataset.test)) == (3, 1)
    assert dataset.note == (
        f"train: 3 pictures; {test_name}: 1 picture; 3 classes, which classes.txt names; "
        "padded, not cropped, to 6 x 6; not used: notes.md"
    )


@pytest.mark.parametrize("train", ["train", "."])
def test_a_share_is_taken_to_test_on(tmp_path: Path, train: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        save_pair(tmp_path / train, f"{number}")
    datasets = [load(tmp_path, 6, test_share=0.3, seed=seed) for seed in (0, 0, 1)]
    check(datasets[0])
    assert (len(datasets[0].train), len(datasets[0].test)) == (7, 3)
    tests = [[dataset.test[index]["label"].tolist() for index in range(3)] for dataset in datasets]
    assert tests[0] == tests[1] != tests[2]
    train_labels = [datasets[0].train[index]["label"].tolist() for index in range(7)]
    assert not any(label in train_labels for label in tests[0])
    assert datasets[0].class_names == ("class 0", "class 1", "class 2")
    assert datasets[0].note.endswith(
        ": 10 pictures; 0.3 of them, 3 pictures, for the test; no classes.txt: 3 classes, up to the largest index in "
        "the masks, all of which were read; padded, not cropped, to 6 x 6"
    )
    assert f"Reading 10 masks in {tmp_path}: there is no classes.txt" in capsys.readouterr().err


def test_without_names_the_largest_index_counts_wherever_it_is(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    (tmp_path / "classes.txt").unlink()
    save_pair(tmp_path / "test", "a", np.array([[IGNORED, 6]], np.uint8))
    assert load(tmp_path, 6).class_names[-1] == "class 6"
    for path in tmp_path.rglob("masks/*.png"):
        save(path, np.uint8(IGNORED) * RANDOM.integers(0, 2, (6, 6), np.uint8))
    save(tmp_path / "train" / "masks" / "0.png", np.full((6, 6), IGNORED, np.uint8))
    with pytest.raises(ValueError, match=r"all pixels of the masks in .* are of class 0, or 255, which is ignored"):
        load(tmp_path, 6)
    (tmp_path / "train" / "masks" / "1.png").write_bytes(b"")
    with pytest.raises(UnreadablePictureError, match=r"train/masks/1\.png"):
        load(tmp_path, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ground\n\ntree\n", r"line 2 of .*classes\.txt is ''"),
        (b"ground\ntree\nground\n", r"line 3 of .*classes\.txt is 'ground'; each line must name a class of its own"),
        (b"ground\n", "has 1 name; there must be from 2 to 255 classes"),
        ("\n".join(map(str, range(256))).encode(), "has 256 names"),
        (b"", "line 1 of .* is ''"),
        (b"gr\xfcn\nblau\n", r"classes\.txt must be UTF-8, a name a line"),
    ],
)
def test_names_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    train_and_test(tmp_path)
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, 6)


def test_pictures_without_masks_and_masks_without_pictures_are_counted_and_named(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    for name in "abcd":
        save(tmp_path / "train" / "images" / f"{name}.jpg", np.zeros((6, 6, 3), np.uint8))
    save(tmp_path / "train" / "masks" / "x.png", np.zeros((6, 6), np.uint8))
    message = (
        r"train has 4 pictures without a mask \(masks/NAME\.png\): images/a\.jpg, images/b\.jpg, images/c\.jpg, \.\.\. "
        r"and 1 mask without a picture: masks/x\.png$"
    )
    with pytest.raises(ValueError, match=message):
        load(tmp_path, 6)


def test_masks_in_other_formats_are_no_masks(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    save(tmp_path / "test" / "masks" / "0.bmp", np.zeros((6, 6), np.uint8))
    assert "test: 2 pictures, 1 entry ignored (1 mask that is no PNG)" in load(tmp_path, 6).note
    (tmp_path / "test" / "masks" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"test has 1 picture without a mask .*: images/0\.png"):
        load(tmp_path, 6)


def test_two_pictures_of_one_name_are_an_error(tmp_path: Path) -> None:
    train_and_test(tmp_path)
    save(tmp_path / "train" / "images" / "1.jpg", np.zeros((6, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"images/1\.jpg and images/1\.png have the same name"):
        load(tmp_path, 6)


def test_unreadable_files_are_named_or_skipped(tmp_path: Path) -> None:
    train_and_test(tmp_path, count=4)
    (tmp_path / "train" / "images" / "1.png").write_bytes(b"no picture")
    (tmp_path / "train" / "masks" / "2.png").write_bytes(b"")
    source = load(tmp_path, 6).train
    for index, name in ((1, "images/1"), (2, "masks/2")):
        with pytest.raises(UnreadablePictureError, match=rf"cannot read the picture .*{name}\.png"):
            source[index]
    dataset = load(tmp_path, 6, skip_unreadable=True)
    assert (len(dataset.train), len(dataset.test)) == (2, 4)
    check(dataset)
    assert "train: 2 pictures, 2 unreadable pictures skipped, the first is images/1.png" in dataset.note
    for path in tmp_path.glob("train/masks/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataUnavailableError, match=r"no picture in .*train can be read together with its mask"):
        load(tmp_path, 6, skip_unreadable=True)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"no directory .*missing"):
        load(tmp_path / "missing", 6)
    with pytest.raises(DataUnavailableError, match=r"If .* has the folders images and masks, --data\.test-share 0\.2"):
        load(tmp_path, 6)
    with pytest.raises(DataUnavailableError, match=r"no directory .*images; a picture images/NAME\.jpg has its mask"):
        load(tmp_path, 6, test_share=0.5)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataUnavailableError, match=r"images has no pictures \(\.avif"):
        load(tmp_path, 6, test_share=0.5)
    save_pair(tmp_path, "a")
    with pytest.raises(ValueError, match="the data set has a single picture"):
        load(tmp_path, 6, test_share=0.5)
    with pytest.raises(ValueError, match="image_size must be at least 1, not 0"):
        load(tmp_path, 0, test_share=0.5)


@pytest.mark.parametrize("split", ["test", "valid", "val", "."])
def test_a_test_set_alone(tmp_path: Path, split: str) -> None:
    for number in range(3):
        save_pair(tmp_path / "town" / split, f"{number}")
    (tmp_path / "town" / "train").mkdir()
    dataset = load_test(tmp_path / "town", 6, ["ground", "tree", "house", "sky"])
    check(dataset)
    assert dataset.train is dataset.test
    assert (dataset.name, dataset.class_names) == ("town", ("ground", "tree", "house", "sky"))
    where = "town" if split == "." else split
    assert dataset.note == (
        f"{where}: 3 pictures; no classes.txt: the 4 classes of the net, in their order; padded, not cropped, to 6 x 6"
    )
    (tmp_path / "town" / "classes.txt").write_text("house\nground\ntree\n")
    dataset = load_test(tmp_path / "town", 6, ["ground", "tree", "house", "sky"])
    assert dataset.class_names == ("house", "ground", "tree")
    assert "3 pictures; 3 classes, which classes.txt names; padded" in dataset.note


def test_a_test_set_must_be_there_and_fit(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"there is no directory .*missing$"):
        load_test(tmp_path / "missing", 6, ["a", "b"])
    with pytest.raises(DataUnavailableError, match=r"no directory .*images; a picture images/NAME\.jpg has its mask"):
        load_test(tmp_path, 6, ["a", "b"])
    save_pair(tmp_path, "a", np.array([[2]], np.uint8))
    with pytest.raises(ValueError, match="1 pixel of 2, which is no class: these are 0 to 1"):
        load_test(tmp_path, 6, ["a", "b"]).test[0]
