"""Xception (Chollet 2016, arXiv 1610.02357): residual blocks of depthwise separable convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, DepthwiseConv
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks
from zoo.models._pooling import max_pool
from zoo.models._width import scale_channels
from zoo.published import TimmWeights
from zoo.registry import ModelInfo, register

_MIDDLE_BLOCKS = 8


class Xception(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    The two convolutions of the stem do not pad, all other layers do: at 299×299 the maps are 74, 37, 19 and 10
    pixels wide. The 32×32 form pads in the stem as well.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers.
        small_images: the 32×32 form, without the first two strides: the last map is 4×4 at 32×32.
        dropout: rate before the head.
        norm: makes the normalisations.
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
        width: float = 1.0,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        block: Callable[..., XceptionBlock] = partial(XceptionBlock, **shared)
        padding, stride = (1, 1) if small_images else (0, 2)
        # Figure 5 of the paper: the stem, the entry flow, the middle flow, and the exit flow.
        s1, s2, e1, e2, m, x1, x2, x3 = (
            scale_channels(channels, width) for channels in (32, 64, 128, 256, 728, 1024, 1536, 2048)
        )
        self.stem = nnx.Sequential(
            ConvNormAct(in_channels, s1, 3, stride=stride, padding=padding, **shared),
            ConvNormAct(s1, s2, 3, padding=padding, **shared),
        )
        stages: list[list[nnx.Module]] = [
            [block(s2, (e1, e1), stride, starts_with_act=False)],  # the stem's activation serves it, too
            [block(e1, (e2, e2), 2)],
            [block(e2, (m, m), 2), *(block(m, (m, m, m)) for _ in range(_MIDDLE_BLOCKS))],
            [block(m, (m, x1), 2), SeparableConv(x1, x2, **shared), SeparableConv(x2, x3, **shared)],
        ]
        self._init_stages(stages, (1, 2, 4, 8) if small_images else (4, 8, 16, 32))
        self._init_head(x3, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        layers = {"stem.layers.0": "[conv1,bn1]", "stem.layers.1": "[conv2,bn2]", "head": "fc"}
        *residual, first, second = blocks(self.stages)
        for number, (path, block) in enumerate(residual, start=1):
            layers[f"{path}.shortcut"] = f"block{number}.[skip,skipbn]"
            # Each separable convolution is followed by its norm and preceded by an activation, but for the very first.
            position = 0 if number == 1 else 1
            for conv in range(len(block.convs)):
                there = f"block{number}.rep"
                layers |= _separable_names(f"{path}.convs.{conv}", f"{there}.{position}", f"{there}.{position + 1}")
                position += 3
        for (path, _), number in ((first, 3), (second, 4)):
            layers |= _separable_names(path, f"conv{number}", f"bn{number}")
        return {"timm": NameMap(layers)}


def _separable_names(ours: str, conv: str, norm: str) -> dict[str, str]:
    return {
        f"{ours}.depthwise": f"{conv}.conv1",
        f"{ours}.pointwise.conv": f"{conv}.pointwise",
        f"{ours}.pointwise.norm": norm,
    }


class SeparableConv(nnx.Module):
    """(N, H, W, in_channels) -> (N, H, W, out_channels): a 3×3 depthwise, then a 1×1 convolution, norm, activation.

    Nothing comes between the two convolutions, which trains faster and better than an activation (section 4.7).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        norm: makes the normalisation.
        act: activation; None for none.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm,
        act: Activation | None,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self.depthwise = DepthwiseConv(in_channels, 3, use_bias=False, rngs=rngs, **dtypes)
        self.pointwise = ConvNormAct(in_channels, out_channels, 1, norm=norm, act=act, rngs=rngs, **dtypes)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.pointwise(self.depthwise(x))


class XceptionBlock(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', channels[-1]): separable convolutions, max pooling, and a shortcut.

    An activation precedes every separable convolution and none follows the last. The shortcut is a strided 1×1
    convolution where the shape changes, else the input itself (figure 5).

    Args:
        in_channels: channels of the input.
        channels: that each separable convolution gives.
        stride: step of the max pooling; 1 leaves it out.
        starts_with_act: whether an activation precedes the first separable convolution.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        stride: int = 1,
        *,
        starts_with_act: bool = True,
        norm: Norm,
        act: Activation,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        *_, out_channels = channels
        is_identity = stride == 1 and in_channels == out_channels
        self.shortcut = nnx.data(
            None if is_identity else ConvNormAct(in_channels, out_channels, 1, stride=stride, act=None, **shared)
        )
        convs = []
        for number, width in enumerate(channels, start=1):
            convs.append(SeparableConv(in_channels, width, act=act if number < len(channels) else None, **shared))
            in_channels = width
        self.convs = nnx.List(convs)
        self.act = act if starts_with_act else None
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x if self.act is None else self.act(x)
        for conv in self.convs:
            y = conv(y)
        if self.stride > 1:
            y = max_pool(y, self.stride)
        return y + (x if self.shortcut is None else self.shortcut(x))


register(
    "xception",
    Xception,
    ModelInfo("arXiv:1610.02357", 299, parameters=22_855_952, macs=8.404e9, top1=79.0),
    weights=[TimmWeights("legacy_xception")],
)
