"""`AveragedViews`: a segmentation net that looks at an image several times."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from zoo.models._net import Net
from zoo.models._segmenter import Segmenter
from zoo.ops import resize_bilinear


class AveragedViews(nnx.Module):
    """The mean of what a segmentation net makes of an image at several scales, mirrored, and part by part.

    The net's probabilities are averaged, not its logits (1706.05587, section 4.1). They are brought back to the size of
    the image bilinearly. The net is to be in evaluation mode.

    Args:
        net: a `Segmenter`.
        scales: of height and width, to which an image is resized bilinearly.
        flip: whether to take the mirror image, left and right exchanged, of each scale as well.
        window: pixels a side of the parts of an image that the net sees at a time, where the image, at its scale, is
            larger; None for the whole image. They lie two thirds of a window apart, as far as the last one, which ends
            where the image ends, allows it; the probabilities of a pixel are the mean over those that see it.

    Raises:
        ValueError: if the net is none for segmentation, if there is no scale or one that is not above 0, or if the
            window is below 1.
    """

    def __init__(
        self, net: Net, scales: Sequence[float] = (1.0,), flip: bool = False, window: int | None = None
    ) -> None:
        if not isinstance(net, Segmenter):
            raise ValueError(f"views are averaged of the pixels of segmentation nets, not of a {type(net).__name__}")
        if not scales or not all(0 < scale < math.inf for scale in scales):
            raise ValueError(f"scales must be one or more numbers above 0, not {tuple(scales)}")
        if window is not None and window < 1:
            raise ValueError(f"window must be at least 1 pixel, not {window}")
        self.net, self.scales, self.flip, self.window = net, tuple(scales), flip, window

    def __call__(self, x: jax.Array) -> jax.Array:
        """The logarithms of the mean probabilities: (N, H, W, in_channels) -> (N, H, W, num_classes), float32.

        A probability that float32 cannot hold counts as the least that it holds in full precision, 1.2e-38.
        """
        size = x.shape[1:3]
        sums = jnp.zeros((*x.shape[:3], self.net.num_classes), jnp.float32)
        for scale in self.scales:
            scaled = [max(1, round(scale * length)) for length in size]
            sums += resize_bilinear(self._of_scale(resize_bilinear(x, scaled)), size)
        return jnp.log(jnp.maximum(sums / len(self.scales), jnp.finfo(jnp.float32).tiny))

    def _of_scale(self, x: jax.Array) -> jax.Array:
        """The probabilities of the pixels of an image as it is, and mirrored: (N, H, W, classes), float32."""
        if not self.flip:
            return self._of_windows(x)
        # One after the other in one loop, so that the net is compiled once and needs no more memory.
        plain, mirrored = lax.map(self._of_windows, jnp.stack([x, x[:, :, ::-1]]))
        return (plain + mirrored[:, :, ::-1]) / 2

    def _of_windows(self, x: jax.Array) -> jax.Array:
        """The probabilities of the pixels of an image that the net sees part by part."""
        size = x.shape[1:3]
        window = [length if self.window is None else min(self.window, length) for length in size]
        rows, columns = (_starts(*lengths) for lengths in zip(size, window, strict=True))
        if len(rows) == len(columns) == 1:
            return self._probabilities(x)
        corners = np.array([(row, column) for row in rows for column in columns], np.int32)
        seen = np.zeros(size, np.float32)
        for row, column in corners:
            seen[row : row + window[0], column : column + window[1]] += 1

        def add_window(number: jax.Array, sums: jax.Array) -> jax.Array:
            row, column = jnp.asarray(corners)[number]
            corner = (0, row, column, 0)
            of_window = self._probabilities(lax.dynamic_slice(x, corner, (len(x), *window, x.shape[3])))
            before = lax.dynamic_slice(sums, corner, of_window.shape)
            return lax.dynamic_update_slice(sums, before + of_window, corner)

        sums = jnp.zeros((*x.shape[:3], self.net.num_classes), jnp.float32)
        return lax.fori_loop(0, len(corners), add_window, sums) / seen[..., None]

    def _probabilities(self, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(self.net(x).astype(jnp.float32))


def _starts(length: int, window: int) -> list[int]:
    """Where windows begin that together see a whole length."""
    return [*range(0, length - window, max(1, round(window * 2 / 3))), length - window]
