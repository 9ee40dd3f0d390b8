"""The architectures, one family a file; importing this package registers them all."""

from zoo.models.mobilenet_v2 import MobileNetV2

__all__ = ["MobileNetV2"]
