"""The fully connected CRF that sharpens a segmentation along the edges of its image."""

from zoo.crf.mean_field import mean_field
from zoo.crf.parameters import CRFParameters

__all__ = ["CRFParameters", "mean_field"]
