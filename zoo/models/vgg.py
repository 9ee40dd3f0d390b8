"""VGG (Simonyan & Zisserman 2014, arXiv 1409.1556): stacks of 3×3 convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._hidden_layers import HIDDEN_CHANNELS, HiddenLayers
from zoo.models._names import NameMap
from zoo.models._pooling import global_average_pool
from zoo.models._width import scale_channels
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register

halve = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))


class VGGStage(NamedTuple):
    """A stack of 3×3 convolutions.

    Attributes:
        channels: of each of them.
        convs: how many.
        pools: whether the map is halved before the first.
        dilation: of each of them.
    """

    channels: int
    convs: int
    pools: bool = True
    dilation: int = 1


_VGG16_STAGES = (  # configuration D in table 1 of the paper; the first convolution is the stem
    VGGStage(64, 1, pools=False),
    VGGStage(128, 2),
    VGGStage(256, 3),
    VGGStage(512, 3),
    VGGStage(512, 3),
)


def vgg16_stages(width: float) -> list[VGGStage]:
    """The stages of VGG-16, with the channels of all convolutions multiplied by `width`."""
    return [stage._replace(channels=scale_channels(stage.channels, width)) for stage in _VGG16_STAGES]


def vgg_stages(
    rows: Sequence[VGGStage], in_channels: int, unit: Callable[..., ConvNormAct]
) -> tuple[list[list[nnx.Module]], list[int]]:
    """Builds stages of convolutions, and says the stride of each one's output over the input of the first.

    Args:
        rows: what they are made of.
        in_channels: channels of the input.
        unit: makes a convolution with its activation.
    """
    stages, strides, stride = [], [], 1
    for row in rows:
        stage: list[nnx.Module] = []
        for number in range(row.convs):
            conv = unit(in_channels, row.channels, 3, dilation=row.dilation)
            stage.append(nnx.Sequential(halve, conv) if number == 0 and row.pools else conv)
            in_channels = row.channels
        stride *= 2 if row.pools else 1
        stages.append(stage)
        strides.append(stride)
    return stages, strides


class VGG16(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    The features are the maps before each pooling, of stride 1 to 16 (conv1_2, conv2_2, conv3_3, conv4_3, conv5_3).
    After the last pooling the map is averaged to 7×7, which it has at 224×224, and flattened row by row, channels
    last.

    The 32×32 form has the same convolutions without the first and the last pooling, and classifies the average of
    the last map by one linear layer, without the two hidden ones, as nets for CIFAR do.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all convolutions, but not of the hidden layers.
        small_images: the 32×32 form: the last map is 4×4 at 32×32.
        dropout: rate before the head, and between the hidden layers.
        norm: makes normalisations of the convolutions; None for none, as in the paper, or for batch norm in the 32×32
            form, as nets for CIFAR have it.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    stem: ConvNormAct

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm | None = None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        norm = BatchNorm if small_images and norm is None else norm
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, norm=norm, act=act, rngs=rngs, **dtypes)
        first, second, *others = vgg16_stages(width)
        rows = (first, second._replace(pools=not small_images), *others)
        self.stem = unit(in_channels, first.channels, 3)
        self._init_stages(*vgg_stages(rows, first.channels, unit))
        channels = rows[-1].channels
        self.hidden = None if small_images else HiddenLayers(channels, 7, act=act, dropout=dropout, rngs=rngs, **dtypes)
        num_features = channels if small_images else HIDDEN_CHANNELS
        self._init_head(num_features, num_classes, dropout=dropout, rngs=rngs, **dtypes)

    def embed(self, x: jax.Array) -> jax.Array:
        *_, x = self.features(x).values()
        return global_average_pool(x) if self.hidden is None else self.hidden(halve(x))

    def torch_names(self) -> dict[str, NameMap]:
        has_norm = self.stem.norm is not None
        layers_of_unit = 3 if has_norm else 2  # activations, and poolings, have numbers there, too

        def name(position: int) -> str:
            return f"features.[{position},{position + 1}]" if has_norm else f"features.{position}"

        convs, position = {"stem": name(0)}, layers_of_unit
        for stage, members in enumerate(self.stages):
            position += stage > 0
            for number in range(len(members)):
                for path in (f"stages.{stage}.{number}", f"stages.{stage}.{number}.layers.1"):
                    convs[path] = name(position)
                position += layers_of_unit
        torchvision = {"hidden.fc6": "classifier.0", "hidden.fc7": "classifier.3", "head": "classifier.6"}
        timm = {"hidden.fc6": "pre_logits.fc1", "hidden.fc7": "pre_logits.fc2", "head": "head.fc"}
        flattened = {"hidden.fc6": (7, 7)}
        return {
            "torchvision": NameMap(convs | torchvision, flattened),
            "timm": NameMap(convs | timm, flattened, convolutions=frozenset({"hidden.fc6", "hidden.fc7"})),
        }


register(
    "vgg16",  # torchvision's accuracy
    VGG16,
    ModelInfo("arXiv:1409.1556", 224, parameters=138_357_544, macs=15.47e9, top1=71.6),
    weights=(TorchvisionWeights("VGG16_Weights.IMAGENET1K_V1", "vgg16-397923af.pth"), TimmWeights("vgg16")),
)
