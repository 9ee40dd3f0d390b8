"""VGG (Simonyan & Zisserman 2014, arXiv 1409.1556): stacks of 3×3 convolutions."""

from __future__ import annotations

from collections.abc import Callable
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
from zoo.models._pooling import global_average_pool, max_pool
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register

_halve = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))


class _Row(NamedTuple):
    channels: int  # of each of the 3×3 convolutions
    convs: int
    pools: bool = True  # before the first


_ROWS = (  # configuration D in table 1 of the paper; the first convolution is the stem
    _Row(64, 1, pools=False),
    _Row(128, 2),
    _Row(256, 3),
    _Row(512, 3),
    _Row(512, 3),
)


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
        output_stride: limits the stride of the maps by dilation; None for the whole 16 (8 in the 32×32 form). The last
            pooling, before the hidden layers, stays.
        pool_size: pixels a side of what the poolings between the stages take the largest of: 2, or as in DeepLab 3,
            which rounds sizes up. Where dilation replaces the stride, the smaller one is left out, as it would shift
            the map by half a pixel, and the larger one stays.
        dropout: rate before the head, and between the hidden layers.
        norm: makes normalisations of the convolutions; None for none, as in the paper, or for batch norm in the 32×32
            form, as nets for CIFAR have it.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or if there is no pooling of that size.
    """

    stem: ConvNormAct

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        small_images: bool = False,
        output_stride: int | None = None,
        pool_size: int = 2,
        dropout: float = 0.5,
        norm: Norm | None = None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if pool_size not in (2, 3):
            raise ValueError(f"pool_size={pool_size} must be 2 or 3")
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        norm = BatchNorm if small_images and norm is None else norm
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, norm=norm, act=act, rngs=rngs, **dtypes)
        plan = StridePlan(output_stride)
        channels = scale_channels(_ROWS[0].channels, width)
        self.stem = unit(in_channels, channels, 3)
        stages: list[list[nnx.Module]] = []
        strides = []
        for number, row in enumerate(_ROWS):
            before: list[Callable[[jax.Array], jax.Array]] = []
            if row.pools and not (small_images and number == 1):
                stride, _ = plan.next(2)
                if pool_size == 3:
                    before = [partial(max_pool, stride=stride)]
                elif stride == 2:
                    before = [_halve]
            stage: list[nnx.Module] = []
            for _ in range(row.convs):
                conv = unit(channels, scale_channels(row.channels, width), 3, dilation=plan.dilation)
                stage.append(nnx.Sequential(*before, conv) if before else conv)
                channels, before = conv.conv.out_features, []
            stages.append(stage)
            strides.append(plan.stride)
        self._init_stages(stages, strides)
        self.hidden = None if small_images else HiddenLayers(channels, 7, act=act, dropout=dropout, rngs=rngs, **dtypes)
        num_features = channels if small_images else HIDDEN_CHANNELS
        self._init_head(num_features, num_classes, dropout=dropout, rngs=rngs, **dtypes)

    def embed(self, x: jax.Array) -> jax.Array:
        *_, x = self.features(x).values()
        return global_average_pool(x) if self.hidden is None else self.hidden(_halve(x))

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
