"""`drawing`: a figure that becomes a PNG file, without a display."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.atomic_file import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def drawing(path: Path, width: float, height: float, padding: float | None = None) -> Iterator[Figure]:
    """A figure to draw into, which is written when the context is left without an exception.

    Args:
        path: of the file.
        width, height: in inches, of 150 pixels.
        padding: around what is in it, in inches; None for the usual one.

    Raises:
        OSError: if the file cannot be written; it names the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=padding, h_pad=padding))
    FigureCanvasAgg(figure)
    yield figure
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=150)
