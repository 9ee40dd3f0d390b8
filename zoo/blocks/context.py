"""Modules that gather context by dilation: the context module and atrous spatial pyramid pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import Dtype, Initializer

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv import Conv
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.initializers import he_normal

_DILATIONS = (1, 1, 2, 4, 8, 16, 1)
_FORMS = ("basic", "large")
_NOISE = 0.01


class ContextModule(nnx.Module):
    """Adds context to score maps: (N, H, W, channels) to the same shape (1511.07122, section 3, table 1).

    Seven 3×3 convolutions with dilation 1, 1, 2, 4, 8, 16, 1, each followed by a ReLU, and a linear 1×1 one: the
    receptive field is 67×67. They start as the identity (equations 4 and 5), so that a new module gives
    `relu(x)`, up to noise of about one per cent in the large form; only taps learned later see the zeros that pad.

    Args:
        channels: of input and output, one for each class.
        form: "basic" for `channels` everywhere, "large" for 2, 2, 4, 8, 16, 32, 32, 1 times as many.
        dilations: of the 3×3 convolutions. The paper leaves out 16 for KITTI and adds 32 and 64 for Cityscapes
            (appendix B); in the large form the channels double from the third to the last but one.
        pads_once: whether the map is padded with zeros before the first convolution for all of them, as in the authors'
            large net, instead of by each. Away from the border it is the same; there, biases and activations reach into
            the padding.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, if there are no dilations, or the form is not known.
    """

    def __init__(
        self,
        channels: int,
        *,
        form: str = "basic",
        dilations: Sequence[int] = _DILATIONS,
        pads_once: bool = False,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if form not in _FORMS:
            raise ValueError(f"form={form!r} must be one of {', '.join(_FORMS)}")
        if not dilations:
            raise ValueError(f"dilations={dilations!r} must have at least one")
        conv: Callable[..., Conv] = partial(
            Conv, kernel_init=identity_initializer(channels), dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        layers, width = [], channels
        for number, dilation in enumerate(dilations):
            factor = 1 if form == "basic" else 2 ** max(1, min(number, len(dilations) - 2))
            layers.append(conv(width, factor * channels, 3, dilation=dilation, padding=0 if pads_once else None))
            width = factor * channels
        self.margin = sum(dilations) if pads_once else 0
        self.layers = nnx.List(layers)
        self.last = conv(width, channels, 1)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.pad(x, ((0, 0), (self.margin, self.margin), (self.margin, self.margin), (0, 0)))
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return self.last(x)


def identity_initializer(groups: int) -> Initializer:
    """Makes a kernel pass its input through (1511.07122, equations 4 and 5).

    Input and output channels are each split evenly into `groups`. The middle tap gives every output the sum of the
    inputs of its group times groups / outputs; over a chain of layers that begins and ends with as many channels,
    these factors multiply to the identity. Where a group has several channels, the other weights are small noise,
    without which the channels of a group would stay equal forever.

    Args:
        groups: how many; must divide the channels of both sides.

    Returns:
        An initialiser of kernels (odd height, odd width, inputs, outputs).
    """

    def initialize(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        height, width, inputs, outputs = shape
        is_same = np.arange(inputs)[:, None] // (inputs // groups) == np.arange(outputs) // (outputs // groups)
        passes = np.zeros(shape, bool)
        passes[height // 2, width // 2] = is_same
        noise: jax.Array | float = 0.0
        if max(inputs, outputs) > groups:
            # of such a deviation that its sum over all inputs is _NOISE of what passes
            noise = _NOISE * (inputs / (2 * outputs)) ** 0.5 * he_normal(key, shape, dtype)
        return jnp.where(passes, groups / outputs, noise).astype(dtype)

    return initialize


class ASPP(nnx.Module):
    """Atrous spatial pyramid pooling: (N, H, W, in_channels) -> (N, H, W, out_channels) (1706.05587, section 3.3).

    Side by side a 1×1 convolution, one dilated 3×3 convolution per rate, and the average over the whole map
    with a 1×1 convolution, broadcast to all pixels; their outputs are concatenated and mixed by a 1×1
    convolution. Each convolution is followed by norm and activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of every branch and of the output.
        rates: dilation of the 3×3 convolutions; the paper's for output stride 16, and twice them for 8. Without any,
            the 1×1 convolution and the average are left (1801.04381, table 7).
        norm: makes the normalisations; None leaves them out.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        *,
        rates: Sequence[int] = (6, 12, 18),
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        self.pointwise = unit(in_channels, out_channels, 1)
        self.pyramid = nnx.List([unit(in_channels, out_channels, 3, dilation=rate) for rate in rates])
        self.image = unit(in_channels, out_channels, 1)
        self.project = unit((len(rates) + 2) * out_channels, out_channels, 1)

    def __call__(self, x: jax.Array) -> jax.Array:
        mean = self.image(x.mean((1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype))
        branches = [self.pointwise(x), *(branch(x) for branch in self.pyramid)]
        branches.append(jnp.broadcast_to(mean, branches[0].shape))
        return self.project(jnp.concatenate(branches, axis=-1))
