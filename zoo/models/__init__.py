"""The architectures, one family a file; importing this package registers them all."""

from zoo.models.alexnet import AlexNet
from zoo.models.detnet import DetNet
from zoo.models.dilated_resnet import DilatedResNet
from zoo.models.dilatednet import DilatedNet
from zoo.models.drn import DRN
from zoo.models.efficientnet import EfficientNet
from zoo.models.flattened_net import FlattenedNet
from zoo.models.googlenet import GoogLeNet
from zoo.models.inception_v3 import InceptionV3
from zoo.models.mnasnet import MnasNet
from zoo.models.mobilenet_v1 import MobileNetV1
from zoo.models.mobilenet_v2 import MobileNetV2
from zoo.models.mobilenet_v3 import MobileNetV3
from zoo.models.mobilenet_v4 import MobileNetV4
from zoo.models.nin import NetworkInNetwork
from zoo.models.regnet import RegNet
from zoo.models.resnet import ResNet
from zoo.models.resnext29 import ResNeXt29
from zoo.models.shufflenet_v1 import ShuffleNetV1
from zoo.models.shufflenet_v2 import ShuffleNetV2
from zoo.models.vgg import VGG16
from zoo.models.xception import Xception

__all__ = [
    "DRN",
    "VGG16",
    "AlexNet",
    "DetNet",
    "DilatedNet",
    "DilatedResNet",
    "EfficientNet",
    "FlattenedNet",
    "GoogLeNet",
    "InceptionV3",
    "MnasNet",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "MobileNetV4",
    "NetworkInNetwork",
    "RegNet",
    "ResNeXt29",
    "ResNet",
    "ShuffleNetV1",
    "ShuffleNetV2",
    "Xception",
]
