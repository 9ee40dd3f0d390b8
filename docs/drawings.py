"""Draws the connectivity of each kind of convolution, and the receptive fields of some nets, as SVG below docs/.

    uv run python docs/drawings.py [FOLDER]

Which lines and pixels are drawn is read off the blocks of the zoo themselves: they are where the Jacobian is not zero.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from flax import nnx
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

import zoo
from zoo.analysis import receptive_fields
from zoo.blocks import (
    Conv,
    ConvTranspose,
    DepthwiseSeparableConv,
    FlattenedConv,
    GroupedConv,
    PointwiseConv,
    ResizeConv,
    SpatiallySeparableConv,
)
from zoo.ops import channel_shuffle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Layer = Callable[[jax.Array], jax.Array]

# The background is painted, so that the drawings read the same on light and on dark pages.
BACKGROUND, FAINT, PLAIN, STRONG = "#ffffff", "#c9ced6", "#6b7280", "#d9480f"
PANEL = 2.8  # inches, of either side
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "zoo",  # the same drawing is the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": "#1f2937",
}


def connections(layer: Layer, shape: tuple[int, int, int], axis: int) -> np.ndarray:
    """Which places along an axis depend on which: bool (places of the output, places of the input).

    Args:
        layer: linear, maps (1, H, W, C) to the same with other sizes.
        shape: (H, W, C) of the input.
        axis: 0 for rows, 1 for columns, 2 for channels.
    """
    jacobian = jax.jacobian(lambda x: layer(x[None])[0])(jnp.ones(shape))
    others = tuple(number for number in range(6) if number % 3 != axis)
    return np.any(np.asarray(jacobian) != 0, axis=others)


def pixels(layer: Layer, size: int, channels: int = 1) -> np.ndarray:
    """Which pixels of a square map the output in its middle depends on: bool (size, size)."""
    middle = size // 2
    jacobian = jax.jacobian(lambda x: layer(x[None])[0, middle, middle])(jnp.ones((size, size, channels)))
    return np.any(np.asarray(jacobian) != 0, axis=(0, 3))


@dataclass
class Chain:
    """A panel: the channels, or the pixels of a row, before and after each layer, with a line where one sees the other.

    Attributes:
        title: of the panel.
        layers: label -> layer, in the order in which they are applied.
        places: how many the input has.
        along: "channels" of a single pixel, or "pixels" of a row with a single channel.
        traced: the output whose lines are strong.
    """

    title: str
    layers: dict[str, Layer]
    places: int
    along: str = "channels"
    traced: int = 0

    def steps(self) -> list[np.ndarray]:
        """The connections of each layer."""
        found, places = [], self.places
        for layer in self.layers.values():
            shape, axis = ((1, 1, places), 2) if self.along == "channels" else ((places, places, 1), 1)
            found.append(connections(layer, shape, axis))
            places = len(found[-1])
        return found

    def draw(self, axes: Axes) -> None:
        steps = self.steps()
        counts = [self.places, *map(len, steps)]
        seen = [np.arange(counts[-1]) == self.traced]  # from the last column to the first
        for step in reversed(steps):
            seen.insert(0, step[seen[0]].any(axis=0))

        def height(column: int, place: int) -> float:
            return (counts[column] - 1) / 2 - place if self.along == "channels" else place - (counts[column] - 1) / 2

        for is_strong, color, width in ((False, FAINT, 0.7), (True, STRONG, 1.4)):  # the strong lines lie on top
            x: list[float] = []
            y: list[float] = []
            for column, step in enumerate(steps):
                for target, source in zip(*np.nonzero(step), strict=True):
                    if seen[column + 1][target] == is_strong:
                        x += [column, column + 1, np.nan]
                        y += [height(column, source), height(column + 1, target), np.nan]
            axes.plot(x, y, color=color, linewidth=width)
        for column, (label, count) in enumerate(zip(["input", *self.layers], counts, strict=True)):
            colors = np.where(seen[column], STRONG, PLAIN)
            axes.scatter([column] * count, [height(column, place) for place in range(count)], 22, colors, zorder=3)
            axes.text(column, -(max(counts) - 1) / 2 - 0.8, label, ha="center", va="top")
        axes.set(xlim=(-0.5, len(steps) + 0.5), ylim=(-(max(counts) - 1) / 2 - 1.9, (max(counts) - 1) / 2 + 0.5))


@dataclass
class Pixels:
    """A panel: the pixels of a map that the output in its middle sees."""

    title: str
    layer: Layer
    size: int = 7
    channels: int = 1

    def draw(self, axes: Axes) -> None:
        seen = pixels(self.layer, self.size, self.channels)
        axes.set_aspect("equal")
        middle = self.size // 2
        axes.pcolormesh(
            np.where(seen, 1.0, 0.0)[::-1],
            cmap=mpl.colors.ListedColormap(["#eef0f3", "#f4a27a"]),
            edgecolors=BACKGROUND,
        )
        axes.plot(middle + 0.5, self.size - middle - 0.5, "o", color=STRONG, markersize=5)


def panels_of_all_drawings() -> dict[str, list[Chain | Pixels]]:
    """File name without its ending -> what is drawn."""
    rngs = nnx.Rngs(0)
    conv = partial(Conv, 1, 1, rngs=rngs)
    separable = DepthwiseSeparableConv(4, 6, norm=None, act=None, rngs=rngs)
    grouped = partial(GroupedConv, kernel_size=1, groups=3, rngs=rngs)
    column_and_row = SpatiallySeparableConv(1, 1, rngs=rngs)
    flattened = FlattenedConv(4, 6, 5, rngs=rngs)
    one_output = FlattenedConv(1, 1, 5, rngs=rngs)
    return {
        "pointwise": [
            Chain("channels", {"1×1": PointwiseConv(4, 6, rngs=rngs)}, 4),
            Pixels("pixels", PointwiseConv(1, 1, rngs=rngs)),
        ],
        "depthwise-separable": [
            Chain("channels", {"depthwise": separable.depthwise, "1×1": separable.pointwise}, 4),
            Pixels("pixels", separable, channels=4),
            Chain("channels of a dense 3×3", {"dense": Conv(4, 6, rngs=rngs)}, 4),
        ],
        "grouped": [
            Chain("2 groups", {"3×3": GroupedConv(8, 8, groups=2, rngs=rngs)}, 8),
            Chain("1 group: dense", {"3×3": GroupedConv(8, 8, groups=1, rngs=rngs)}, 8),
            Chain("4 groups", {"3×3": GroupedConv(8, 8, groups=4, rngs=rngs)}, 8),
            Chain("8 groups: depthwise", {"3×3": GroupedConv(8, 8, groups=8, rngs=rngs)}, 8),
        ],
        "channel-shuffle": [
            Chain("without a shuffle", {"3 groups": grouped(9, 9), "3 groups ": grouped(9, 9)}, 9),
            Chain(
                "with it",
                {"3 groups": grouped(9, 9), "shuffle": partial(channel_shuffle, groups=3), "3 groups ": grouped(9, 9)},
                9,
            ),
        ],
        "dilated": [
            *(Pixels(f"dilation {dilation}", conv(3, dilation=dilation), 9) for dilation in (1, 2, 3)),
            Chain(
                "a row, through three layers",
                {f"dilation {dilation}": conv(3, dilation=dilation) for dilation in (1, 2, 4)},
                17,
                along="pixels",
                traced=8,
            ),
        ],
        "transposed": [
            Chain("kernel 3, stride 2: 1 or 2 inputs", {"output": ConvTranspose(1, 1, 3, rngs=rngs)}, 5, "pixels", 3),
            Chain("kernel 4, stride 2: always 2", {"output": ConvTranspose(1, 1, 4, rngs=rngs)}, 5, "pixels", 4),
            Chain("the convolution it is the adjoint of", {"output": conv(4, stride=2)}, 10, "pixels", 2),
            Chain("resize, then kernel 3", {"output": ResizeConv(1, 1, 3, rngs=rngs)}, 5, "pixels", 4),
        ],
        "spatially-separable": [
            Pixels("a column", column_and_row.vertical),
            Pixels("a row", column_and_row.horizontal),
            Pixels("both", column_and_row),
            Chain(
                "channels",
                {"3×1": (wide := SpatiallySeparableConv(4, 6, rngs=rngs)).vertical, "1×3": wide.horizontal},
                4,
            ),
        ],
        "flattened": [
            Chain(
                "channels",
                {"lateral": flattened.lateral, "vertical": flattened.vertical, "horizontal": flattened.horizontal},
                4,
            ),
            Pixels("the vertical filter", one_output.vertical),
            Pixels("the horizontal filter", one_output.horizontal),
            Pixels("all three", one_output),
        ],
    }


def draw_panels(path: Path, panels: Sequence[Chain | Pixels]) -> None:
    """Draws the panels, two side by side."""
    rows = -(-len(panels) // 2)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * PANEL, rows * PANEL), facecolor=BACKGROUND, layout="constrained")
        for number, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, 2, number)
            axes.set_axis_off()
            axes.set_title(panel.title, fontsize=10)
            panel.draw(axes)
        save(figure, path)


def draw_receptive_fields(path: Path, names: Sequence[str]) -> None:
    """Draws how many pixels of the image the feature maps of some nets see, over their stride."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * PANEL, 1.6 * PANEL), facecolor=BACKGROUND, layout="constrained")
        axes = figure.add_subplot()
        for name in names:
            model = nnx.eval_shape(lambda name=name: zoo.create_model(name))
            fields = receptive_fields(model, (512, 512, 3))
            strides, sizes = [], []
            for feature, stride in model.feature_strides.items():
                if fields[feature] is not None:
                    strides.append(stride)
                    sizes.append(float(fields[feature][0].size))
            axes.plot(strides, sizes, "o-", label=name, markersize=4, linewidth=1.2)
        axes.axhline(224, color=PLAIN, linewidth=0.8, linestyle=":")
        axes.text(1, 240, "224, the usual image", color=PLAIN)
        axes.set(xscale="log", yscale="log", xlabel="stride of the map, pixels", ylabel="receptive field, pixels")
        axes.set_xticks([2, 4, 8, 16, 32])
        axes.set_yticks([8, 16, 32, 64, 128, 256, 512, 1024])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_locator(NullLocator())
        axes.legend(frameon=False)
        save(figure, path)


def save(figure: Figure, path: Path) -> None:
    FigureCanvasSVG(figure)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    print(path)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, panels in panels_of_all_drawings().items():
        draw_panels(folder / "convolutions" / f"{name}.svg", panels)
    nets = ["mobilenet_v2", "shufflenet_v2_x1_0", "resnet18", "vgg16", "xception", "drn_c_26"]
    draw_receptive_fields(folder / "receptive-fields.svg", nets)


if __name__ == "__main__":
    main()
