"""The Inception modules of Inception v3 (1512.00567), whose large convolutions are factorised into smaller ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.inception import Branches, ReducedConv

# Zeros around the map are among the nine that are averaged.
_pool = partial(nnx.avg_pool, window_shape=(3, 3), strides=(1, 1), padding=((1, 1), (1, 1)))


class FactorizedInception(Branches):
    """(N, H, W, in_channels) -> (N, H, W, sum of the branches): two 3×3 in place of one larger convolution.

    As figure 5 of 1512.00567, with a 5×5 convolution in the place of its single 3×3, as public weights have it. The
    branches are a 1×1 convolution; 1×1 and 5×5; 1×1 and two 3×3; 3×3 average pooling and 1×1.

    Args:
        in_channels: channels of the input.
        pointwise: channels that the 1×1 convolution gives.
        conv5: channels that the reduction and the 5×5 convolution give.
        double_conv3: channels that the reduction and each of the two 3×3 convolutions give.
        pool: channels that the 1×1 convolution after the pooling gives.
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
        conv5: tuple[int, int],
        double_conv3: tuple[int, int],
        pool: int,
        *,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        reduced5, out5 = conv5
        reduced3, out3 = double_conv3
        super().__init__(
            [
                unit(in_channels, pointwise, 1),
                ReducedConv(in_channels, out5, reduced5, 5, **shared),
                nnx.Sequential(ReducedConv(in_channels, out3, reduced3, 3, **shared), unit(out3, out3, 3)),
                nnx.Sequential(_pool, unit(in_channels, pool, 1)),
            ]
        )


class AsymmetricInception(Branches):
    """(N, H, W, in_channels) -> (N, H, W, 4 * branch_channels): n×n convolutions as 1×n and n×1 (1512.00567, figure 6).

    The branches are a 1×1 convolution; 1×1, 1×n, n×1; 1×1, n×1, 1×n, n×1, 1×n; 3×3 average pooling and 1×1.

    Args:
        in_channels: channels of the input.
        branch_channels: channels that each of the four branches gives.
        hidden_channels: channels inside the second and the third branch.
        kernel_size: n, the taps of each long convolution.
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
        branch_channels: int,
        hidden_channels: int,
        kernel_size: int = 7,
        *,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        hidden, row, column = hidden_channels, (1, kernel_size), (kernel_size, 1)
        super().__init__(
            [
                unit(in_channels, branch_channels, 1),
                nnx.Sequential(
                    unit(in_channels, hidden, 1), unit(hidden, hidden, row), unit(hidden, branch_channels, column)
                ),
                nnx.Sequential(
                    unit(in_channels, hidden, 1),
                    unit(hidden, hidden, column),
                    unit(hidden, hidden, row),
                    unit(hidden, hidden, column),
                    unit(hidden, branch_channels, row),
                ),
                nnx.Sequential(_pool, unit(in_channels, branch_channels, 1)),
            ]
        )


class ExpandedInception(Branches):
    """(N, H, W, in_channels) -> (N, H, W, sum of the branches): 1×3 and 3×1 side by side (1512.00567, figure 7).

    It widens the output on the coarsest maps. The branches are a 1×1 convolution; 1×1, then 1×3 beside 3×1; 1×1 and
    3×3, then 1×3 beside 3×1; 3×3 average pooling and 1×1.

    Args:
        in_channels: channels of the input.
        pointwise: channels that the 1×1 convolution gives.
        conv3: channels that the reduction and each of the 1×3 and the 3×1 convolution give.
        double_conv3: the same for the branch that has a 3×3 convolution, of the second width, after its reduction.
        pool: channels that the 1×1 convolution after the pooling gives.
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
        double_conv3: tuple[int, int],
        pool: int,
        *,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)

        def row_and_column(channels: int, out_channels: int) -> Branches:
            return Branches([unit(channels, out_channels, (1, 3)), unit(channels, out_channels, (3, 1))])

        reduced, out = conv3
        double_reduced, double_out = double_conv3
        super().__init__(
            [
                unit(in_channels, pointwise, 1),
                nnx.Sequential(unit(in_channels, reduced, 1), row_and_column(reduced, out)),
                nnx.Sequential(
                    ReducedConv(in_channels, double_out, double_reduced, 3, **shared),
                    row_and_column(double_out, double_out),
                ),
                nnx.Sequential(_pool, unit(in_channels, pool, 1)),
            ]
        )


class GridReduction(Branches):
    """(N, H, W, in_channels) -> (N, H', W', in_channels + the others): halves the map (1512.00567, figure 10).

    Strided convolutions beside a strided pooling keep what a pooling alone would lose, and cost less than a wider
    layer in front of it. The branches are a strided 3×3 convolution; 1×1, 3×3 and a strided 3×3; 3×3 max pooling.

    Args:
        in_channels: channels of the input.
        conv3: channels that the single 3×3 convolution gives.
        double_conv3: channels that the reduction and each of the two 3×3 convolutions give.
        padding: pixels on every side of the strided layers: 0 as in the paper, or 1 to halve the map exactly.
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
        conv3: int,
        double_conv3: tuple[int, int],
        *,
        padding: int = 0,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        reduced, out = double_conv3
        super().__init__(
            [
                ConvNormAct(in_channels, conv3, 3, stride=2, padding=padding, **shared),
                nnx.Sequential(
                    ReducedConv(in_channels, out, reduced, 3, **shared),
                    ConvNormAct(out, out, 3, stride=2, padding=padding, **shared),
                ),
                _halve(padding),
            ]
        )


class AsymmetricGridReduction(Branches):
    """(N, H, W, in_channels) -> (N, H', W', in_channels + the others): halves the map, with 1×n and n×1 convolutions.

    The second reduction of Inception v3 as public weights have it (1512.00567, section 5). The branches are 1×1 and a
    strided 3×3 convolution; 1×1, 1×n, n×1 and a strided 3×3; 3×3 max pooling.

    Args:
        in_channels: channels of the input.
        conv3: channels that the reduction and the strided convolution of the first branch give.
        asymmetric: channels of every layer of the second branch.
        kernel_size: n, the taps of each long convolution.
        padding: pixels on every side of the strided layers: 0 as in the paper, or 1 to halve the map exactly.
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
        conv3: tuple[int, int],
        asymmetric: int,
        kernel_size: int = 7,
        *,
        padding: int = 0,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        reduced, out = conv3
        super().__init__(
            [
                nnx.Sequential(unit(in_channels, reduced, 1), unit(reduced, out, 3, stride=2, padding=padding)),
                nnx.Sequential(
                    unit(in_channels, asymmetric, 1),
                    unit(asymmetric, asymmetric, (1, kernel_size)),
                    unit(asymmetric, asymmetric, (kernel_size, 1)),
                    unit(asymmetric, asymmetric, 3, stride=2, padding=padding),
                ),
                _halve(padding),
            ]
        )


def _halve(padding: int) -> Callable[[jax.Array], jax.Array]:
    return partial(nnx.max_pool, window_shape=(3, 3), strides=(2, 2), padding=((padding, padding), (padding, padding)))
