"""AlexNet: in two groups (Krizhevsky et al., NIPS 2012) and as one tower (Krizhevsky 2014, arXiv 1404.5997)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype
from jax import lax

from zoo.blocks import ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._hidden_layers import HIDDEN_CHANNELS, HiddenLayers
from zoo.models._names import NameMap
from zoo.models._pooling import global_average_pool, max_pool
from zoo.published import TorchvisionWeights
from zoo.registry import ModelInfo, register

_ONE_TOWER = (64, 192, 384, 256, 256)
_TWO_GROUPS = (96, 256, 384, 384, 256)


class AlexNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Its pooling does not pad: at 224×224 the maps are a pixel or two smaller than the strides 16 and 32 say, and the
    last is 6×6. It is averaged to 6×6 from any other size, and flattened row by row, channels last. The 32×32 form
    pads, and classifies the average of the last map without the two hidden layers.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        grouped: the form of 2012, whose second, fourth and fifth convolution have two groups, and whose first two
            are followed by local response normalisation; it takes 227×227. Else torchvision's.
        small_images: the 32×32 form, with a 5×5 stem at stride 1: the last map is 4×4 at 32×32.
        dropout: rate before the head, and between the hidden layers.
        norm: makes normalisations of the convolutions; None for none.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        grouped: bool = False,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm | None = None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.grouped = grouped
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, norm=norm, act=act, rngs=rngs, **dtypes)
        groups = 2 if grouped else 1
        first, second, third, fourth, fifth = _TWO_GROUPS if grouped else _ONE_TOWER
        pool = max_pool if small_images else partial(nnx.max_pool, window_shape=(3, 3), strides=(2, 2))
        reduce = [local_response_norm, pool] if grouped else [pool]
        if small_images:
            conv1 = unit(in_channels, first, 5)
        else:
            conv1 = unit(in_channels, first, 11, stride=4, padding=0 if grouped else 2)
        self.stem = nnx.Sequential(conv1, *reduce)
        stages: list[list[nnx.Module]] = [
            [nnx.Sequential(unit(first, second, 5, groups=groups), *reduce)],
            [
                unit(second, third, 3),
                unit(third, fourth, 3, groups=groups),
                nnx.Sequential(unit(fourth, fifth, 3, groups=groups), pool),
            ],
        ]
        self._init_stages(stages, (4, 8) if small_images else (16, 32))
        self.hidden = None if small_images else HiddenLayers(fifth, 6, act=act, dropout=dropout, rngs=rngs, **dtypes)
        num_features = fifth if small_images else HIDDEN_CHANNELS
        self._init_head(num_features, num_classes, dropout=dropout, rngs=rngs, **dtypes)

    def embed(self, x: jax.Array) -> jax.Array:
        *_, x = self.features(x).values()
        return global_average_pool(x) if self.hidden is None else self.hidden(x)

    def torch_names(self) -> dict[str, NameMap]:
        if self.grouped:  # which torchvision lacks
            return {}
        layers = {
            "stem.layers.0": "features.0",
            "stages.0.0.layers.0": "features.3",
            "stages.1.0": "features.6",
            "stages.1.1": "features.8",
            "stages.1.2.layers.0": "features.10",
            "hidden.fc6": "classifier.1",
            "hidden.fc7": "classifier.4",
            "head": "classifier.6",
        }
        return {"torchvision": NameMap(layers, flattened={"hidden.fc6": (6, 6)})}


def local_response_norm(x: jax.Array) -> jax.Array:
    """Divides each channel by the energy of the five around it: any (..., C) to the same shape.

    The divisor is (2 + 1e-4 · sum of squares)^0.75, with the paper's constants (section 3.3), computed in float32.
    """
    channels = x.shape[-1]
    squares = jnp.pad(jnp.square(x.astype(jnp.float32)), [(0, 0)] * (x.ndim - 1) + [(2, 2)])
    energy = sum(lax.slice_in_dim(squares, shift, shift + channels, axis=-1) for shift in range(5))
    return (x / (2 + 1e-4 * energy) ** 0.75).astype(x.dtype)


register(
    "alexnet",  # torchvision's accuracy
    AlexNet,
    ModelInfo("arXiv:1404.5997", 224, parameters=61_100_840, macs=714e6, top1=56.5),
    weights=[TorchvisionWeights("AlexNet_Weights.IMAGENET1K_V1", "alexnet-owt-7be5be79.pth")],
)
register(
    "alexnet_grouped",  # the accuracy of BVLC's replication
    AlexNet,
    ModelInfo("Krizhevsky et al., NIPS 2012", 227, parameters=60_965_224, macs=724e6, top1=57.1),
    grouped=True,
)
