"""The colours of classes in masks: those of Pascal VOC, which other tools use as well."""

from __future__ import annotations

import numpy as np


def palette() -> np.ndarray:
    """The colour of each value of a mask, uint8 (256, 3): black for 0, and (224, 224, 192) for pixels of no class.

    The bits of a value go in turn to red, green and blue, each from its highest bit down, so that small values are far
    apart in colour.
    """
    values = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for channel in range(3):
        for place in range(3):  # bits 0 to 2 give the highest bit of each channel, bits 3 to 5 the next
            bit = values >> (3 * place + channel) & 1
            colours[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return colours
