"""What each augmentation does, drawn into docs/augmentations.png.

    uv run python examples/augmentations.py [FILE]

A row for each augmentation, and a column for each of some images of `shapes`, enlarged to 96 pixels; the first row has
them as they are. The random numbers are those of key 0, so that the same version draws the same picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from zoo.data import augment, shapes

SIZE, COLUMNS, LABEL, GAP = 96, 7, 130, 2  # pixels, but for the columns
PARTNERS = 8  # images in a batch, one more than are shown

AUGMENTATIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "as it is": lambda key, images: images,
    "crop_padding 12": lambda key, images: augment.random_crop(key, images, 12),
    "flip": augment.random_flip,
    "random_resized_crop\n0.2": lambda key, images: augment.random_resized_crop(key, images, SIZE, 0.2),
    "color_jitter 0.4": lambda key, images: augment.color_jitter(key, images, 0.4),
    "trivial_augment": augment.trivial_augment,
    "random_erasing 1.0": lambda key, images: augment.random_erasing(key, images, 1.0),
    "cutout 32": lambda key, images: augment.cutout(key, images, 32),
    "mixup 1.0": lambda key, images: mixed(augment.mixup, key, images),
    "cutmix 1.0": lambda key, images: mixed(augment.cutmix, key, images),
}


def mixed(mix: Callable[..., tuple[jax.Array, jax.Array]], key: jax.Array, images: jax.Array) -> jax.Array:
    targets = jnp.eye(len(images))
    return mix(key, images.astype(jnp.float32), targets, 1.0)[0].round().astype(images.dtype)


def enlarged_shapes() -> np.ndarray:
    """One image of each of the first classes: uint8 (PARTNERS, SIZE, SIZE, 3)."""
    split = shapes.load(train_examples=200, test_examples=1).train
    chosen = [int(np.flatnonzero(split.labels == label)[1]) for label in range(PARTNERS)]
    pictures = (Image.fromarray(split.images[index]) for index in chosen)
    return np.stack([np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for picture in pictures])


def main() -> None:
    default = Path(__file__).parent.parent / "docs" / "augmentations.png"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    images = jnp.asarray(enlarged_shapes())
    sheet = Image.new("RGB", (LABEL + COLUMNS * (SIZE + GAP), len(AUGMENTATIONS) * (SIZE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, function) in enumerate(AUGMENTATIONS.items()):
        top = row * (SIZE + GAP)
        draw.text((4, top + SIZE // 2), name, fill="black", anchor=None if "\n" in name else "lm")
        for column, image in enumerate(np.asarray(function(jax.random.key(0), images))[:COLUMNS]):
            sheet.paste(Image.fromarray(image), (LABEL + column * (SIZE + GAP), top))
    sheet.quantize(80).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
