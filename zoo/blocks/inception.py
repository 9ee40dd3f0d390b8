"""Inception modules: naive, with reductions (both 1409.4842), and the extreme one (1610.02357)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm

_pool = partial(nnx.max_pool, window_shape=(3, 3), strides=(1, 1), padding=((1, 1), (1, 1)))


class Branches(nnx.Module):
    """(N, H, W, C) -> (N, H', W', sum of the branches' channels): branches side by side, joined along the channels.

    Args:
        branches: what each makes of the same input.
    """

    def __init__(self, branches: Sequence[Callable[[jax.Array], jax.Array]]) -> None:
        self.branches = nnx.List(branches)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.concatenate([branch(x) for branch in self.branches], axis=-1)


class ReducedConv(nnx.Module):
    """(N, H, W, in_channels) -> (N, H, W, out_channels): a 1×1 convolution to fewer channels, then a wide one.

    The reduction in front of the 3×3 and 5×5 convolutions of an Inception module (1409.4842, section 4). From 192
    to 256 channels by way of 32, a 3×3 convolution has 192·32 + 9·32·256 = 79,872 weights, where it has
    9·192·256 = 442,368 without the reduction.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        reduced_channels: channels between the two.
        kernel_size: taps of the second convolution.
        norm: makes both normalisations; None leaves them out.
        act: both activations.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        reduced_channels: int,
        kernel_size: int = 3,
        *,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if reduced_channels < 1:
            raise ValueError(f"reduced_channels={reduced_channels} must be at least 1")
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.reduce = unit(in_channels, reduced_channels, 1)
        self.conv = unit(reduced_channels, out_channels, kernel_size)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(self.reduce(x))


class NaiveInceptionModule(Branches):
    """(N, H, W, in_channels) -> (N, H, W, sum of the branches): 1×1, 3×3, 5×5 and pooling (1409.4842, figure 2a).

    The max pooling passes all channels of the input, so that every such module is wider than the one before.

    Args:
        in_channels: channels of the input.
        pointwise: channels that the 1×1 convolution gives.
        conv3: channels that the 3×3 convolution gives.
        conv5: channels that the 5×5 convolution gives.
        norm: makes the normalisations; None leaves them out.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        pointwise: int,
        conv3: int,
        conv5: int,
        *,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        sizes = ((pointwise, 1), (conv3, 3), (conv5, 5))
        super().__init__([*(unit(in_channels, channels, size) for channels, size in sizes), _pool])


class InceptionModule(Branches):
    """(N, H, W, in_channels) -> (N, H, W, sum of the branches): with reductions (1409.4842, figure 2b).

    Its branches are a 1×1 convolution, a 3×3 and a 5×5 one, each after a reduction, and a 1×1 one after a 3×3 max
    pooling, in this order.

    Args:
        in_channels: channels of the input.
        pointwise: channels that the 1×1 convolution gives.
        conv3: channels that the reduction and the 3×3 convolution give.
        conv5: channels that the reduction and the 5×5 convolution give.
        pool: channels that the 1×1 convolution after the pooling gives.
        large_kernel_size: taps of the 5×5 convolution; public weights for PyTorch have 3.
        norm: makes the normalisations; None leaves them out.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        pointwise: int,
        conv3: tuple[int, int],
        conv5: tuple[int, int],
        pool: int,
        *,
        large_kernel_size: int = 5,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        reduced3, out3 = conv3
        reduced5, out5 = conv5
        super().__init__(
            [
                ConvNormAct(in_channels, pointwise, 1, **shared),
                ReducedConv(in_channels, out3, reduced3, 3, **shared),
                ReducedConv(in_channels, out5, reduced5, large_kernel_size, **shared),
                nnx.Sequential(_pool, ConvNormAct(in_channels, pool, 1, **shared)),
            ]
        )


class ExtremeInception(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): 1×1, then each channel by itself (1610.02357, figure 4).

    An Inception module with one branch per channel that its 1×1 convolution gives. It differs from a
    `DepthwiseSeparableConv` in the order of the two, so that the depthwise convolution filters the outputs.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, and between the two.
        kernel_size: taps of the depthwise convolution.
        stride: step of the depthwise convolution.
        norm: makes both normalisations; None leaves them out.
        act: both activations, as after all convolutions of an Inception module; None leaves them out.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: as `Conv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        norm: Norm | None = BatchNorm,
        act: Activation | None = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.pointwise = unit(in_channels, out_channels, 1)
        self.depthwise = unit(out_channels, out_channels, kernel_size, stride=stride, groups=out_channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.depthwise(self.pointwise(x))
