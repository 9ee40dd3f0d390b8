"""Images of the data set `scenes` and their masks, drawn into docs/scenes.png.

    uv run python examples/scenes.py [FILE]

Below each image is its mask, in the colours at the top; the rims that are ignored are beige. They are the first
training images, so that the same version draws the same picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from zoo.data import scenes
from zoo.palette import palette

SIZE, COLUMNS, ROWS, GAP, LINE = 96, 7, 2, 2, 18  # pixels, but for the columns and rows


def main() -> None:
    default = Path(__file__).parent.parent / "docs" / "scenes.png"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    drawn = scenes.generate(COLUMNS * ROWS, [0, 0])
    colours = palette()
    step = SIZE + GAP
    sheet = Image.new("RGB", (COLUMNS * step - GAP, 3 * LINE + 2 * ROWS * step - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, name in enumerate(scenes.CLASS_NAMES):
        left, top = index % 4 * sheet.width // 4, index // 4 * LINE
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=tuple(colours[index].tolist()))
        draw.text((left + 18, top + LINE // 2), name, fill="black", anchor="lm")
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        for part, pixels in enumerate((drawn.images[index], colours[drawn.masks[index]])):
            picture = Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.NEAREST)
            sheet.paste(picture, (column * step, 3 * LINE + (2 * row + part) * step))
    sheet.quantize(128).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
