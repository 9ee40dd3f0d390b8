"""Network in Network (Lin et al. 2013, arXiv 1312.4400) for CIFAR, and that with root modules (arXiv 1605.06489)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._pooling import max_pool
from zoo.models._width import scale_channels
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1312.4400"
_ROOT_PAPER = "arXiv:1605.06489"


class _Row(NamedTuple):
    kernel_size: int
    channels: tuple[int, ...]  # of the convolution and of the 1×1 ones after it


_ROWS = (_Row(5, (192, 160, 96)), _Row(5, (192, 192, 192)), _Row(3, (192, 192)))


def _average_pool(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, H / 2, W / 2, C), the mean of 3×3 pixels, zeros around the map among them."""
    return nnx.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class NetworkInNetwork(ImageClassifier):
    """(N, 32, 32, in_channels) -> logits (N, num_classes), float32.

    Three convolutions, each followed by 1×1 ones: a small network that slides over the image (section 3.1). The
    paper's last 1×1 convolution, whose map of each class is averaged, is here the head after the average, which
    gives the same with fewer operations, as the head has no ReLU.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers.
        root_groups: groups of the second convolution, and half of them for the third, as in the root modules of
            1605.06489: even, or 1 for none. The 1×1 convolutions stay dense and mix the groups.
        dropout: rate before the second and third convolution, as in the paper; the head has none.
        norm: makes normalisations; None for none.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or `root_groups` is odd or does not divide the channels.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        root_groups: int = 1,
        dropout: float = 0.5,
        norm: Norm | None = None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if root_groups < 1 or (root_groups > 1 and root_groups % 2):
            raise ValueError(f"root_groups={root_groups} must be 1 or even, such as 2, 4, 8 or 16")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must be at least 0 and below 1")
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)

        stacks, channels = [], in_channels
        for row, groups in zip(_ROWS, (1, root_groups, max(root_groups // 2, 1)), strict=True):
            stack = []
            for number, unscaled in enumerate(row.channels):
                is_first, out_channels = number == 0, scale_channels(unscaled, width)
                stack.append(
                    unit(channels, out_channels, row.kernel_size if is_first else 1, groups=groups if is_first else 1)
                )
                channels = out_channels
            stacks.append(stack)

        def shrink(pool: Callable[[jax.Array], jax.Array]) -> nnx.Sequential:
            return nnx.Sequential(pool, nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None))

        first, second, third = stacks
        self.stem = first[0]
        self._init_stages([first[1:], [shrink(max_pool), *second], [shrink(_average_pool), *third]], (1, 2, 4))
        self._init_head(channels, num_classes, dropout=0.0, dtype=dtype, param_dtype=param_dtype, rngs=rngs)


register("nin", NetworkInNetwork, ModelInfo(_PAPER, 32, parameters=966_986, macs=223e6, top1=91.19))
for _groups, _parameters in (  # counted
    (2, 736_586),
    (4, 455_498),
    (8, 314_954),
    (16, 244_682),
):
    register(
        f"nin_root{_groups}",
        NetworkInNetwork,
        ModelInfo(_ROOT_PAPER, 32, parameters=_parameters),
        root_groups=_groups,
    )
