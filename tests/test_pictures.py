from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from zoo import pictures
from zoo.data.image_folder import ImageFolder
from zoo.pictures import UnreadablePictureError, read_picture, to_rgb
from zoo.preprocessing import Preprocessing, preprocess


def reopened(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


def greys(image: Image.Image) -> list[int]:
    """Of the first row; red, green and blue must be equal."""
    pixels = np.asarray(to_rgb(image, 1))
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


SIXTEEN_BITS = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)


def test_16_bit_grey_is_scaled() -> None:
    pgm = io.BytesIO(b"P5 5 1 65535\n" + SIXTEEN_BITS.astype(">u2").tobytes())
    image = Image.fromarray(SIXTEEN_BITS)
    for each in (image, reopened(image), reopened(image, "TIFF"), Image.open(pgm)):
        assert greys(each) == [0, 0, 1, 100, 255]
    assert greys(reopened(image, transparency=257 * 100)) == [0, 0, 1, 255, 255]


def test_floats_are_from_0_to_1_or_to_255() -> None:
    assert greys(Image.fromarray(np.array([[0, 0.4, 1]], np.float32))) == [0, 102, 255]
    assert greys(Image.fromarray(np.array([[0, 100, 255]], np.float32))) == [0, 100, 255]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 70000]], np.int32), r"its values, from 0 to 70000, are not from 0 to 65535"),
        (np.array([[0, 256]], np.float32), r"its values, from 0\.0 to 256\.0, are not from 0 to 255"),
        (np.array([[-1, 0]], np.float32), r"its values, from -1\.0 to 0\.0, are not"),
        (np.array([[0, np.nan]], np.float32), r"not all of its values are finite"),
    ],
)
def test_values_out_of_range_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(UnreadablePictureError, match=f"cannot read the picture of mode [IF]: {message}"):
        to_rgb(Image.fromarray(values), 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La", "PA"])
def test_what_is_transparent_shows_white_not_the_hidden_colour(mode: str) -> None:
    black = Image.new("LA", (3, 1), (0, 255))
    black.putpixel((1, 0), (0, 128))
    black.putpixel((2, 0), (0, 0))
    image = black if mode == "LA" else (black.convert("RGBA") if mode == "RGBa" else black).convert(mode)
    if mode == "PA":
        image.putalpha(black.getchannel("A"))
    assert image.mode == mode
    assert greys(image) == [0, 127, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_shows_white(mode: str) -> None:
    pixels = Image.fromarray(np.array([[0, 7]], np.uint8)).convert(mode)
    image = reopened(pixels, transparency={"L": 7, "RGB": (7, 7, 7), "P": pixels.getpixel((1, 0))}[mode])
    assert image.mode == mode
    assert greys(image) == [0, 255]


@pytest.mark.parametrize(("kind", "lossless"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_exif_orientation_is_obeyed(kind: str, lossless: dict[str, bool]) -> None:
    scene = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        expected = ImageOps.exif_transpose(reopened(scene, kind, exif=exif, **lossless))
        np.testing.assert_array_equal(to_rgb(reopened(scene, kind, exif=exif, **lossless), 1), expected)


def test_broken_exif_data_does_not_spoil_a_picture() -> None:
    image = Image.new("RGB", (2, 1))
    image.info["exif"] = b"Exif\x00\x00nonsense"
    assert greys(image) == [0, 0]


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("L", (2, 1), value) for value in (50, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(read_picture(tmp_path / "a.gif", 1)).tolist() == [[[50] * 3] * 2]


def test_a_plain_picture_is_not_copied() -> None:
    image = Image.new("RGB", (2, 1))
    assert to_rgb(image, 1) is image


def test_folders_and_preprocessing_convert_alike(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 3
    left_dark = Image.fromarray(np.array([[0, 65535]], np.uint16).repeat(4, 1).repeat(8, 0))
    left_dark.save(tmp_path / "c" / "a.png", exif=exif)
    expected = np.broadcast_to(np.array([255] * 4 + [0] * 4, np.uint8)[:, None], (8, 8, 3))
    np.testing.assert_array_equal(ImageFolder(tmp_path, 8)[0]["image"], expected)
    plain = Preprocessing(8, 8, mean=(0.0,) * 3, std=(1.0,) * 3)
    with Image.open(tmp_path / "c" / "a.png") as image:
        np.testing.assert_array_equal(preprocess([image], plain)[0], expected / 255)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "I;16", "F", "1"])
def test_a_large_picture_is_made_smaller_in_strips(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 61, 3), np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    expected = np.asarray(to_rgb(image, 8).reduce(2))
    monkeypatch.setattr(pictures, "_LARGE", 50 * 61 - 1)
    monkeypatch.setattr(pictures, "_STRIP", 61 * 7)
    np.testing.assert_array_equal(to_rgb(image, 8), expected)  # 50 >= 2 * 3 * 8
    assert to_rgb(image, 17).size == image.size


def test_a_huge_picture_takes_little_more_memory_than_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("L", (5000, 5000)).save(path)
    code = f"""
import resource
from zoo.pictures import read_picture
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = used()
read_picture({str(path)!r}, 224)
print(used() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2 * 25  # MB; as RGB it is 100


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (100, 40)).save(tmp_path / "a.png")
    Image.new("L", (100, 40)).save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3999)
    monkeypatch.setattr(Image.Image, "load", None)
    message = r"cannot read the picture .*a\.png: its 100 x 40 pixels are more than the limit of 3,999"
    with pytest.raises(UnreadablePictureError, match=message):
        read_picture(tmp_path / "a.png", 8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow itself refuses twice its limit.
    with pytest.raises(UnreadablePictureError, match=r"a\.png: Image size \(4000 pixels\) exceeds limit"):
        read_picture(tmp_path / "a.png", 8)
    monkeypatch.undo()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3999)
    monkeypatch.setattr(pictures, "_LARGE", 1000)
    assert read_picture(tmp_path / "a.jpg", 5).size == (50, 20)  # A JPEG can be decoded at half its size.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "Pillow knows no such format"),
        (b"some text", "Pillow knows no such format"),
        (b"\x89PNG\r\n\x1a\n", ""),
        (50, ""),
        (500, "image file is truncated"),
    ],
)
def test_an_unreadable_file_is_named_in_one_line(tmp_path: Path, content: bytes | int | None, reason: str) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.raises(UnreadablePictureError, match=re.escape(f"cannot read the picture {path}: {reason}")) as caught:
        read_picture(path, 8)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
