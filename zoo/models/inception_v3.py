"""Inception v3 (Szegedy et al. 2015, arXiv 1512.00567): Inception modules of factorised convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.blocks.factorized_inception import (
    AsymmetricGridReduction,
    AsymmetricInception,
    ExpandedInception,
    FactorizedInception,
    GridReduction,
)
from zoo.models._auxiliary import AuxiliaryClassifier
from zoo.models._names import NameMap, under
from zoo.models._pooling import global_average_pool, max_pool
from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register

_batch_norm = partial(BatchNorm, epsilon=1e-3)  # as the public weights were trained


class InceptionV3(AuxiliaryClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    The stem and all layers that stride do not pad: at 299×299 the maps are a few pixels smaller than the strides 4,
    8, 16 and 32 say, and the last is 8×8. The 32×32 form pads them.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        auxiliary_heads: whether there is a classifier after the 17×17 maps, to train with; see
            `logits_with_auxiliary`.
        small_images: the 32×32 form, without the first stride and the first pooling: the last map is 4×4 at 32×32.
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
        auxiliary_heads: bool = False,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm = _batch_norm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        padding = 1 if small_images else 0
        pool = partial(max_pool, padding=padding)
        stem = [
            unit(in_channels, 32, 3, stride=1 if small_images else 2, padding=padding),
            unit(32, 32, 3, padding=padding),
            unit(32, 64, 3),
        ]
        self.stem = nnx.Sequential(*stem) if small_images else nnx.Sequential(*stem, pool)

        def factorized(channels: int, pool_channels: int) -> FactorizedInception:
            return FactorizedInception(channels, 64, (48, 64), (64, 96), pool_channels, **shared)

        def expanded(channels: int) -> ExpandedInception:
            return ExpandedInception(channels, 320, (384, 384), (448, 384), 192, **shared)

        stages: list[list[nnx.Module]] = [
            [unit(64, 80, 1), unit(80, 192, 3, padding=padding)],
            [nnx.Sequential(pool, factorized(192, 32)), factorized(256, 64), factorized(288, 64)],
            [
                GridReduction(288, 384, (64, 96), padding=padding, **shared),
                *(AsymmetricInception(768, 192, hidden, **shared) for hidden in (128, 160, 160, 192)),
            ],
            [
                AsymmetricGridReduction(768, (192, 320), 192, padding=padding, **shared),
                expanded(1280),
                expanded(2048),
            ],
        ]
        self._init_stages(stages, (1, 2, 4, 8) if small_images else (4, 8, 16, 32))
        heads = [AuxiliaryHead(768, small_images=small_images, **shared)] if auxiliary_heads else []
        self.auxiliary_heads = nnx.List(heads)
        self._init_head(2048, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def inner_maps(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        *_, middle, last = self.features(x).values()
        return last, [middle]

    def torch_names(self) -> dict[str, NameMap]:
        convs = {
            "stem.layers.0": "Conv2d_1a_3x3",
            "stem.layers.1": "Conv2d_2a_3x3",
            "stem.layers.2": "Conv2d_2b_3x3",
            "stages.0.0": "Conv2d_3b_1x1",
            "stages.0.1": "Conv2d_4a_3x3",
            "auxiliary_heads.0.reduce": "AuxLogits.conv0",
            "auxiliary_heads.0.conv": "AuxLogits.conv1",
        }
        for ours, (theirs, inside) in _MODULES.items():
            convs |= under(ours, theirs, inside)
        layers = {ours: f"{theirs}.[conv,bn]" for ours, theirs in convs.items()}
        layers |= {"auxiliary_heads.0.classify": "AuxLogits.fc", "head": "fc"}
        names = NameMap(layers, unused=() if self.auxiliary_heads else ("AuxLogits.",), epsilon=1e-3)
        return {"torchvision": names, "timm": names}


class AuxiliaryHead(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32: classifies the 17×17 map (section 4).

    A 17×17 map is pooled to 5×5, reduced by a 1×1 convolution and seen as a whole by a 5×5 one, without padding; what
    a larger one leaves is averaged. The 8×8 map of the 32×32 form is not pooled, and the 5×5 convolution pads. A
    linear layer follows, which `reset` makes.

    Args:
        in_channels: channels of the map.
        small_images: whether it is that of the 32×32 form.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        small_images: bool,
        norm: Norm,
        act: Activation,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.reduce = unit(in_channels, 128, 1)
        self.conv = unit(128, 768, 5, padding=2 if small_images else 0)
        self.pools = not small_images
        self._linear = partial(
            nnx.Linear, kernel_init=nnx.initializers.normal(0.001), dtype=dtype, param_dtype=param_dtype
        )

    def reset(self, num_classes: int, *, rngs: nnx.Rngs) -> None:
        """Makes a new linear layer for `num_classes` classes."""
        self.classify = self._linear(768, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.pools:
            x = nnx.avg_pool(x, (5, 5), (3, 3))
        return self.classify(global_average_pool(self.conv(self.reduce(x)))).astype(jnp.float32)


_FACTORIZED_NAMES = {
    "branches.0": "branch1x1",
    "branches.1.reduce": "branch5x5_1",
    "branches.1.conv": "branch5x5_2",
    "branches.2.layers.0.reduce": "branch3x3dbl_1",
    "branches.2.layers.0.conv": "branch3x3dbl_2",
    "branches.2.layers.1": "branch3x3dbl_3",
    "branches.3.layers.1": "branch_pool",
}
_REDUCTION_NAMES = {
    "branches.0": "branch3x3",
    "branches.1.layers.0.reduce": "branch3x3dbl_1",
    "branches.1.layers.0.conv": "branch3x3dbl_2",
    "branches.1.layers.1": "branch3x3dbl_3",
}
_ASYMMETRIC_NAMES = {
    "branches.0": "branch1x1",
    **{f"branches.1.layers.{number}": f"branch7x7_{number + 1}" for number in range(3)},
    **{f"branches.2.layers.{number}": f"branch7x7dbl_{number + 1}" for number in range(5)},
    "branches.3.layers.1": "branch_pool",
}
_ASYMMETRIC_REDUCTION_NAMES = {
    **{f"branches.0.layers.{number}": f"branch3x3_{number + 1}" for number in range(2)},
    **{f"branches.1.layers.{number}": f"branch7x7x3_{number + 1}" for number in range(4)},
}
_EXPANDED_NAMES = {
    "branches.0": "branch1x1",
    "branches.1.layers.0": "branch3x3_1",
    "branches.1.layers.1.branches.0": "branch3x3_2a",
    "branches.1.layers.1.branches.1": "branch3x3_2b",
    "branches.2.layers.0.reduce": "branch3x3dbl_1",
    "branches.2.layers.0.conv": "branch3x3dbl_2",
    "branches.2.layers.1.branches.0": "branch3x3dbl_3a",
    "branches.2.layers.1.branches.1": "branch3x3dbl_3b",
    "branches.3.layers.1": "branch_pool",
}
_MODULES = {  # where each module is -> its name in torchvision and in timm, and the names of its layers
    "stages.1.0.layers.1": ("Mixed_5b", _FACTORIZED_NAMES),  # after a pooling
    "stages.1.1": ("Mixed_5c", _FACTORIZED_NAMES),
    "stages.1.2": ("Mixed_5d", _FACTORIZED_NAMES),
    "stages.2.0": ("Mixed_6a", _REDUCTION_NAMES),
    **{f"stages.2.{number}": (f"Mixed_6{'abcde'[number]}", _ASYMMETRIC_NAMES) for number in range(1, 5)},
    "stages.3.0": ("Mixed_7a", _ASYMMETRIC_REDUCTION_NAMES),
    "stages.3.1": ("Mixed_7b", _EXPANDED_NAMES),
    "stages.3.2": ("Mixed_7c", _EXPANDED_NAMES),
}

register(
    "inception_v3",
    InceptionV3,
    ModelInfo("arXiv:1512.00567", 299, parameters=23_834_568, macs=5.713e9, top1=77.3),
    # Trained on pixels between -1 and 1; see GoogLeNet.
    weights=(
        TorchvisionWeights(
            "Inception_V3_Weights.IMAGENET1K_V1",
            "inception_v3_google-0cc3c7bd.pth",
            Preprocessing(299, 342, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
        TimmWeights("inception_v3"),
    ),
)
