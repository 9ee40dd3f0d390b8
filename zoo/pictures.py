"""Any picture as 8-bit RGB: what data sets, `zoo.preprocess` and `zoo predict` read their pictures with; and masks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

_LARGE = 2**24  # pixels; larger pictures are made smaller as they are read, if no more is needed of them
_STRIP = 2**22  # pixels that are converted at a time, so that no second copy of a huge picture is made
_FINER = 3  # A picture is made smaller to no less than this multiple of what is needed: the resizing has the last word.

_UPRIGHT = {  # EXIF's orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadablePictureError(ValueError):
    """A picture cannot be read; the message is one line with its file's name."""


def read_picture(path: str | os.PathLike[str], shorter_side: int) -> Image.Image:
    """The picture in a file, as `to_rgb` converts it; of an animation, the first frame.

    Args:
        path: of a file in any format that Pillow reads.
        shorter_side: see `to_rgb`. Large JPEGs are already decoded at a fraction of their size.

    Raises:
        UnreadablePictureError: if the file is not there or damaged, or if it would take more than
            `PIL.Image.MAX_IMAGE_PIXELS` pixels to decode, which is found out before it is decoded.
    """
    with _named(path), Image.open(path) as image:
        factor = _shrink_factor(image, shorter_side)
        image.draft(None, (image.width // factor, image.height // factor))
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise ValueError(f"its {image.width} x {image.height} pixels are more than the limit of {limit:,}")
        return _convert(image, shorter_side)


def to_rgb(image: Image.Image, shorter_side: int) -> Image.Image:
    """A picture of any mode as 8-bit RGB, upright as its EXIF orientation says.

    What is transparent shows a white background. 16-bit grey is scaled to 8 bits, as is mode "I" (32-bit integers),
    which must hold 16-bit values. Mode "F" must hold values from 0 to 1 or, where one is larger, from 0 to 255.

    Args:
        image: the picture; it is not changed.
        shorter_side: how many pixels of the shorter side are needed. A picture of more than 16 million pixels may
            come out smaller, with at least three times as many.

    Raises:
        UnreadablePictureError: if its file is damaged, or its values are out of range.
    """
    with _named(getattr(image, "filename", "") or f"of mode {image.mode}"):
        return _convert(image, shorter_side)


def read_mask(path: str | os.PathLike[str], picture: str | os.PathLike[str]) -> Image.Image:
    """The mask of a picture, mode "L": what the file has for each pixel, which is the index of a colour in a palette.

    A mask lies on the picture as that is stored. It has no EXIF orientation of its own, and is turned as
    `read_picture` turns the picture.

    Args:
        path: of a PNG with a palette, or in 8-bit grey.
        picture: path of the picture.

    Raises:
        UnreadablePictureError: if a file is not there or damaged, if the mask is of another kind, or if the two differ
            in size.
    """
    with _named(picture), Image.open(picture) as image:
        size, turn = image.size, _UPRIGHT.get(_orientation(image))
    indices = read_indices(path)
    if indices.size != size:
        here, there = (f"{width} x {height} pixels" for width, height in (indices.size, size))
        stored = "" if turn is None else ", as it is stored: its EXIF orientation turns both"
        raise UnreadablePictureError(f"the mask {path} has {here}, its picture {picture} {there}{stored}")
    return indices if turn is None else indices.transpose(turn)


def read_indices(path: str | os.PathLike[str]) -> Image.Image:
    """What a mask's file has for each pixel, as `read_mask` gives it, but neither compared to a picture nor turned."""
    with _named(path), Image.open(path) as mask:
        if mask.format != "PNG" or mask.mode not in ("L", "P"):
            raise ValueError(f"a mask must be a PNG of mode L or P, not a {mask.format} of mode {mask.mode}")
        # Pillow spreads the values of grey of 2 and 4 bits over 0 to 255, so that they are no more what was written.
        if mask.mode == "L" and mask.tile[0].args != "L":
            raise ValueError(f"a mask in grey must have 8 bits a pixel, not {str(mask.tile[0].args)[2:]}")
        return Image.fromarray(np.asarray(mask))


def _convert(image: Image.Image, shorter_side: int) -> Image.Image:
    image.load()
    rgb = image
    factor = _shrink_factor(image, shorter_side)
    if image.mode != "RGB" or image.has_transparency_data or factor > 1:
        white = _white_level(image)
        width, height = image.size
        rgb = Image.new("RGB", (-(-width // factor), -(-height // factor)))
        rows = factor * max(1, _STRIP // (width * factor))
        for top in range(0, height, rows):
            strip = _opaque_rgb(image.crop((0, top, width, min(top + rows, height))), white)
            rgb.paste(strip if factor == 1 else strip.reduce(factor), (0, top // factor))
    turn = _UPRIGHT.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def _opaque_rgb(image: Image.Image, white: float) -> Image.Image:
    """8-bit RGB over a white background; `white` is the value of white in the modes that have no fixed one."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("not all of its values are finite")
        grey = np.rint(values * np.float32(255 / white)).astype(np.uint8)
        grey[values == image.info.get("transparency", np.nan)] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _white_level(image: Image.Image) -> float:
    if not image.mode.startswith(("I", "F")):
        return 255
    if image.mode.startswith("I;16"):  # of which Pillow tells no extrema if it is big-endian
        return 65535
    low, high = image.getextrema()
    highest = 255 if image.mode == "F" else 65535
    if not 0 <= low <= high <= highest:  # type: ignore[operator]
        raise ValueError(f"its values, from {low} to {high}, are not from 0 to {highest}")
    return 1 if image.mode == "F" and high <= 1 else highest  # type: ignore[operator]


def _shrink_factor(image: Image.Image, shorter_side: int) -> int:
    """By what whole number a picture is divided in height and width before it is resized."""
    if image.width * image.height <= _LARGE:
        return 1
    return max(1, min(image.size) // (_FINER * shorter_side))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Broken EXIF data makes Pillow raise almost anything; it does not spoil the picture.
        return 1


@contextmanager
def _named(name: str | os.PathLike[str]) -> Iterator[None]:
    """Makes one line of whatever goes wrong: decoders raise SyntaxError, struct.error and more besides OSError."""
    try:
        yield
    except UnidentifiedImageError:
        reason = "Pillow knows no such format"
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:
        reason = str(error) or type(error).__name__
    else:
        return
    raise UnreadablePictureError(f"cannot read the picture {os.fspath(name)}: {' '.join(reason.split())}")
