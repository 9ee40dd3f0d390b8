"""The parameters of the fully connected CRF."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import jax

Scalar = float | jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CRFParameters:
    """What `zoo.crf.mean_field` computes with: a pytree, all of whose leaves can be learnt.

    The appearance kernel joins pixels that look alike, the smoothness kernel those that are close (arXiv 1210.5644,
    equation 3). The defaults are those that DeepLab's VGG-16 with a large field of view was published with.

    Attributes:
        appearance_weight: w⁽¹⁾, of the appearance kernel.
        position_deviation: θα, pixels: how far the appearance kernel reaches.
        colour_deviation: θβ, in units of 0 to 255: how much the colours of an object differ.
        smoothness_weight: w⁽²⁾, of the smoothness kernel.
        smoothness_deviation: θγ, pixels: how far the smoothness kernel reaches.
        compatibility: μ, shape (classes, classes): the penalty [k, l] of class k beside class l. None for the Potts
            model, 1 wherever they differ.
        iterations: how often all pixels exchange messages.
        window: side in pixels of the square around each pixel beyond which the appearance kernel is 0, as in ConvCRF
            (arXiv 1805.04777); odd. None joins all pixels, in a time that grows with the square of their number.

    Raises:
        TypeError: if `iterations` or `window` is not an int.
        ValueError: if a weight is negative, a deviation not positive, `iterations` negative or `window` not a positive
            odd number. Only Python's numbers are checked, not arrays.
    """

    appearance_weight: Scalar = 4.0
    position_deviation: Scalar = 49.0
    colour_deviation: Scalar = 5.0
    smoothness_weight: Scalar = 3.0
    smoothness_deviation: Scalar = 3.0
    compatibility: jax.Array | None = None
    iterations: int = field(default=10, metadata={"static": True})
    window: int | None = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        # JAX also makes this object of tracers, of gradients, which may well be negative, and of placeholders.
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if name.endswith("weight") and isinstance(value, int | float) and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more and finite, not {value}")
            if name.endswith("deviation") and isinstance(value, int | float) and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, not {value}")
        if not isinstance(self.iterations, int):
            raise TypeError(f"iterations must be an int, not {self.iterations!r}")
        if self.iterations < 0:
            raise ValueError(f"iterations must be 0 or more, not {self.iterations}")
        if self.window is None:
            return
        if not isinstance(self.window, int):
            raise TypeError(f"window must be an int or None, not {self.window!r}")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window must be a positive odd number of pixels, not {self.window}")
