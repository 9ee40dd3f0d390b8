"""`zoo segment`: the class of each pixel of pictures on disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_EXACT = 128 * 128  # pixels up to which the CRF joins all of them
_WINDOW = 11  # pixels a side within which it joins those of larger pictures


def segment(
    images: Annotated[tuple[Path, ...], tyro.conf.Positional],
    weights: str,
    model: str | None = None,
    output: Path = Path("segmented"),
    size: int | None = None,
    crf: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Writes a mask and an overlay of each picture, of its size: NAME.png and NAME-overlay.png.

    A mask is a PNG with a palette, whose values are the classes; an overlay is half picture and half mask. The longer
    side of a picture is resized for the net, and the likeliest classes are found at the size that it had.

    A picture that cannot be read is named on stderr, and the others are segmented all the same; the exit status is then
    1, or 2 if there is no other.

    Args:
        images: files of pictures, or folders, all of whose pictures are taken, however deep.
        weights: directory of a run, a file of weights, or torchvision/NAME.
        model: name of the model, if the weights do not tell.
        output: folder that the files are written to.
        size: pixels of the longer side, as the net sees it; None for what the weights were trained with.
        crf: let a fully connected CRF move the borders to the edges in the picture. Up to 128x128 pixels it joins all
            pixels, beyond that those within 11x11.
    """
    from zoo.cli.predict import class_names_of, find_files

    if not images:
        raise ValueError("there are no images; name the files of some, or folders")
    if size is not None and size < 1:
        raise ValueError(f"--size must be at least 1, not {size}")
    files = find_files(images)
    targets = _targets(files, output)

    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx
    from PIL import Image

    import zoo
    from zoo.crf import CRFParameters, mean_field
    from zoo.pictures import UnreadablePictureError, read_picture
    from zoo.preprocessing import fitted_size, normalise, padded
    from zoo.weights.checkpoint import find_checkpoint, model_of

    checkpoint = find_checkpoint(weights)
    name = model_of(checkpoint, model)
    preprocessing = zoo.model_info(name, weights=checkpoint).preprocessing
    net = zoo.fuse(zoo.create_model(name, weights=checkpoint))
    if not isinstance(net, zoo.Segmenter):
        raise ValueError(f"{name} gives one label an image; `zoo predict` shows it")
    class_names = class_names_of(checkpoint, net.num_classes)
    side = size or preprocessing.input_size
    fill = tuple(round(255 * mean) for mean in preprocessing.mean)
    run = nnx.jit(lambda net, pixels: net(pixels))
    sharpen = jax.jit(mean_field)
    output.mkdir(parents=True, exist_ok=True)
    segmented = 0
    for path, target in zip(files, targets, strict=True):
        try:
            picture = read_picture(path, sys.maxsize)  # at its full size
        except UnreadablePictureError as error:
            print(f"zoo: error: {error}", file=sys.stderr)
            continue
        width, height = fitted_size(picture.size, side)
        resized = picture.resize((width, height), Image.Resampling.BILINEAR)
        pixels = normalise(np.asarray(padded(resized, side, fill)), preprocessing)
        logits = run(net, jnp.asarray(pixels)[None])[0, :height, :width]  # one program for pictures of any shape
        if crf:
            parameters = CRFParameters(window=None if width * height <= _EXACT else _WINDOW)
            probabilities = sharpen(logits, jnp.asarray(np.asarray(resized)), parameters)
        else:
            probabilities = jax.nn.softmax(logits)
        mask = likeliest(np.asarray(probabilities), picture.size)
        _write(mask, picture, *target)
        shares = np.bincount(mask.ravel(), minlength=len(class_names)) / mask.size
        found = [f"  {shares[k]:7.2%}  {class_names[k]}" for k in np.argsort(-shares, kind="stable") if shares[k]]
        print(f"{path} -> {target[0]}", *found, sep="\n", flush=True)
        segmented += 1
    if segmented == 0:
        return 2
    return 0 if segmented == len(files) else 1


def likeliest(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The likeliest class of each pixel of a larger picture, uint8 (height, width), interpolated bilinearly.

    Args:
        probabilities: float32 (h, w, classes), of at most 255 classes.
        size: width and height.
    """
    import numpy as np
    from PIL import Image

    best, mask = None, np.zeros(size[::-1], np.uint8)
    for number in range(probabilities.shape[-1]):  # one after another, as all at once may not fit in memory
        of_class = Image.fromarray(np.ascontiguousarray(probabilities[..., number]))
        scores = np.asarray(of_class.resize(size, Image.Resampling.BILINEAR))
        if best is None:
            best = scores.copy()
            continue
        mask[scores > best] = number
        np.maximum(best, scores, out=best)
    return mask


def _targets(files: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Where mask and overlay of each picture go.

    Raises:
        ValueError: if two pictures would share a file, or one would be replaced.
    """
    targets = [(output / f"{file.stem}.png", output / f"{file.stem}-overlay.png") for file in files]
    pictures = {file.resolve() for file in files}
    of_target: dict[Path, Path] = {}
    for file, both in zip(files, targets, strict=True):
        for target in both:
            if target.resolve() in pictures:
                raise ValueError(f"{target} would be written over a picture; name another folder with --output")
            other = of_target.setdefault(target, file)
            if other != file:
                raise ValueError(f"{other} and {file} would both be written to {target}; segment them apart")
    return targets


def _write(mask: np.ndarray, picture: Image.Image, mask_path: Path, overlay_path: Path) -> None:
    from PIL import Image

    from zoo.atomic_file import replacing
    from zoo.palette import palette

    colours = palette()
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    overlay = Image.blend(picture, Image.fromarray(colours[mask]), 0.5)
    for path, made in ((mask_path, image), (overlay_path, overlay)):
        with replacing(path) as unfinished:
            made.save(unfinished, "PNG")
