"""The outlines and the textures that the embedded data sets draw.

The signed distance functions are negative inside a shape and positive outside, and near the edge give the distance to
it. Shapes lie within the unit circle. The caller passes |x|, so each is its own mirror image: flipping an image, as
augmentation does, never turns one class into another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def norm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def rotate(x: np.ndarray, y: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates along axes that are turned by an angle, in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return norm(x, y) - 0.85


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(norm(x, y) - 0.75) - 0.23


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(norm(x, y) - 1, 0.85 - norm(x, y - 0.55))


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(0.866 * x + 0.5 * y, -y) - 0.5


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(x, np.abs(y)) - 0.7


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    long, short = np.maximum(x, np.abs(y)), np.minimum(x, np.abs(y))
    return np.maximum(long - 0.93, short - 0.29)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Folding the plane into the half of one point leaves a single edge, from the tip (0, 1) to the notch between two
    # points, at radius 0.45 and 36 degrees.
    sector = 2 * math.pi / 5
    angle = np.arctan2(x, y)
    angle = np.abs(angle - sector * np.round(angle / sector))
    radius = norm(x, y)
    notch_x, notch_y = 0.45 * math.sin(sector / 2), 0.45 * math.cos(sector / 2)
    edge_x, edge_y = notch_x, notch_y - 1
    return (edge_x * (radius * np.cos(angle) - 1) - edge_y * radius * np.sin(angle)) / math.hypot(edge_x, edge_y)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A disc bent upwards by the root of |x|, which makes the notch and the tip.
    return norm(x, 1.25 * y - 0.9 * np.sqrt(x) + 0.3) - 0.8


def _arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    head = np.maximum(0.707 * (x + y - 1), -y)
    shaft = np.maximum(x - 0.24, np.abs(y + 0.35) - 0.6)
    return np.minimum(head, shaft)


def _hourglass(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(y) - 0.75, 0.8 * (x - 0.08) - 0.6 * np.abs(y))


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "ring": _ring,
    "crescent": _crescent,
    "triangle": _triangle,
    "square": _square,
    "cross": _cross,
    "star": _star,
    "heart": _heart,
    "arrow": _arrow,
    "hourglass": _hourglass,
}

# A texture mixes two colours by the sign of a sum of waves s along one axis and t along the other (the gradient: by
# position). Its coefficients are those of 1, s, t, s * t and the position.
_TEXTURES = {
    "plain": (-1, 0, 0, 0, 0),
    "stripes": (0, 1, 0, 0, 0),
    "checker": (0, 0, 0, 1, 0),
    "dots": (-0.6, 1, 1, 0, 0),
    "gradient": (0, 0, 0, 0, 1),
}
TEXTURES = np.array(list(_TEXTURES.values()), np.float32)


def mixture(
    texture: np.ndarray, u: np.ndarray, v: np.ndarray, frequency: np.ndarray, phases: Sequence[np.ndarray], extent: Any
) -> np.ndarray:
    """The share of the second colour in each pixel, 0 to 1.

    Args:
        texture: coefficients along the first of its axes, the others broadcast.
        u, v: coordinates along the texture's axes, pixels.
        frequency: of both waves, radians per pixel.
        phases: of the waves s and t, radians.
        extent: length over which the gradient runs, pixels.
    """
    s, t = np.sin(frequency * u + phases[0]), np.sin(frequency * v + phases[1])
    wave = texture[0] + texture[1] * s + texture[2] * t + texture[3] * s * t
    return np.clip(0.5 + wave / frequency + texture[4] * u / extent, 0, 1)
