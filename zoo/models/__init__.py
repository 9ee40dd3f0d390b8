"""The architectures, one family a file; importing this package registers them all."""

from zoo.models.dilated_resnet import DilatedResNet
from zoo.models.mobilenet_v2 import MobileNetV2
from zoo.models.resnet import ResNet
from zoo.models.resnext29 import ResNeXt29
from zoo.models.shufflenet_v2 import ShuffleNetV2

__all__ = ["DilatedResNet", "MobileNetV2", "ResNeXt29", "ResNet", "ShuffleNetV2"]
