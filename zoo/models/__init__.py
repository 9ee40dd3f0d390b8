"""The architectures, one family a file; importing this package registers them all."""

from zoo.models.alexnet import AlexNet as AlexNet
from zoo.models.deeplab_v3 import DeepLabV3 as DeepLabV3
from zoo.models.detnet import DetNet as DetNet
from zoo.models.dilated_resnet import DilatedResNet as DilatedResNet
from zoo.models.dilatednet import DilatedNet as DilatedNet
from zoo.models.drn import DRN as DRN
from zoo.models.drn_seg import DRNSeg as DRNSeg
from zoo.models.efficientnet import EfficientNet as EfficientNet
from zoo.models.fcn import FCN as FCN
from zoo.models.flattened_net import FlattenedNet as FlattenedNet
from zoo.models.googlenet import GoogLeNet as GoogLeNet
from zoo.models.inception_v3 import InceptionV3 as InceptionV3
from zoo.models.lraspp import LRASPP as LRASPP
from zoo.models.mnasnet import MnasNet as MnasNet
from zoo.models.mobilenet_v1 import MobileNetV1 as MobileNetV1
from zoo.models.mobilenet_v2 import MobileNetV2 as MobileNetV2
from zoo.models.mobilenet_v3 import MobileNetV3 as MobileNetV3
from zoo.models.mobilenet_v4 import MobileNetV4 as MobileNetV4
from zoo.models.nin import NetworkInNetwork as NetworkInNetwork
from zoo.models.regnet import RegNet as RegNet
from zoo.models.resnet import ResNet as ResNet
from zoo.models.resnext29 import ResNeXt29 as ResNeXt29
from zoo.models.shufflenet_v1 import ShuffleNetV1 as ShuffleNetV1
from zoo.models.shufflenet_v2 import ShuffleNetV2 as ShuffleNetV2
from zoo.models.vgg import VGG16 as VGG16
from zoo.models.xception import Xception as Xception
