"""GoogLeNet (Szegedy et al. 2014, arXiv 1409.4842): Inception modules with reductions, here with batch norm."""

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
from zoo.blocks.inception import InceptionModule
from zoo.models._auxiliary import AuxiliaryClassifier
from zoo.models._names import NameMap, under
from zoo.models._pooling import adaptive_average_pool, max_pool_at_end
from zoo.models._rematerialise import run
from zoo.preprocessing import Preprocessing
from zoo.published import TorchvisionWeights
from zoo.registry import ModelInfo, register

_batch_norm = partial(BatchNorm, epsilon=1e-3)  # as torchvision's weights were trained


class _Row(NamedTuple):
    pointwise: int
    conv3: tuple[int, int]  # reduction, convolution
    conv5: tuple[int, int]
    pool: int


_STAGES = (  # table 1 of the paper
    (_Row(64, (96, 128), (16, 32), 32), _Row(128, (128, 192), (32, 96), 64)),
    (
        _Row(192, (96, 208), (16, 48), 64),
        _Row(160, (112, 224), (24, 64), 64),
        _Row(128, (128, 256), (24, 64), 64),
        _Row(112, (144, 288), (32, 64), 64),
        _Row(256, (160, 320), (32, 128), 128),
    ),
    (_Row(256, (160, 320), (32, 128), 128), _Row(384, (192, 384), (48, 128), 128)),
)
_AUXILIARY = ((4, 512), (7, 528))  # (4a) and (4d): number of the block after the stem, and its channels
_AUXILIARY_DROPOUT = 0.7
_MODULE_NAMES = {
    "branches.0": "branch1",
    "branches.1.reduce": "branch2.0",
    "branches.1.conv": "branch2.1",
    "branches.2.reduce": "branch3.0",
    "branches.2.conv": "branch3.1",
    "branches.3.layers.1": "branch4.1",
}


class GoogLeNet(AuxiliaryClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    In the form of torchvision's weights: batch norm, and 3×3 convolutions where the paper has 5×5. Its pooling pads
    at the end only, so that every map is half of the one before, rounded up.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        auxiliary_heads: whether there are classifiers after the modules (4a) and (4d), to train with; see
            `logits_with_auxiliary`.
        small_images: the 32×32 form, with a 3×3 stem and no pooling after it: the last map is 4×4 at 32×32.
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
        dropout: float = 0.4,
        norm: Norm = _batch_norm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        if small_images:
            self.stem = unit(in_channels, 64, 3)
        else:
            self.stem = nnx.Sequential(unit(in_channels, 64, 7, stride=2), max_pool_at_end)

        stages: list[list[nnx.Module]] = [[unit(64, 64, 1), unit(64, 192, 3)]]
        channels = 192
        for number, rows in enumerate(_STAGES):
            # The paper's pooling is 3x3 throughout, torchvision's last one is 2x2.
            pool = partial(max_pool_at_end, size=2 if number == 2 else 3)
            stage: list[nnx.Module] = []
            for row in rows:
                block = InceptionModule(channels, *row, large_kernel_size=3, **shared)
                stage.append(block if stage else nnx.Sequential(pool, block))
                channels = row.pointwise + row.conv3[1] + row.conv5[1] + row.pool
            stages.append(stage)
        self._init_stages(stages, (1, 2, 4, 8) if small_images else (4, 8, 16, 32))
        heads = [AuxiliaryHead(width, **shared) for _, width in _AUXILIARY] if auxiliary_heads else []
        self.auxiliary_heads = nnx.List(heads)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def inner_maps(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        x = run(self.stem, x)
        outputs = []
        for stage in self.stages:
            for block in stage:
                x = run(block, x)
                outputs.append(x)
        return x, [outputs[block] for block, _ in _AUXILIARY]

    def torch_names(self) -> dict[str, NameMap]:
        layers = {"stem": "conv1.[conv,bn]", "stem.layers.0": "conv1.[conv,bn]", "head": "fc"}
        layers |= {"stages.0.0": "conv2.[conv,bn]", "stages.0.1": "conv3.[conv,bn]"}
        for stage, members in enumerate(self.stages):
            for number in range(len(members) if stage > 0 else 0):
                theirs = f"inception{stage + 2}{'abcde'[number]}"
                # The first module of a stage comes after a pooling.
                ours = f"stages.{stage}.{number}" + (".layers.1" if number == 0 else "")
                layers |= under(ours, theirs, {layer: f"{name}.[conv,bn]" for layer, name in _MODULE_NAMES.items()})
        for number in range(len(_AUXILIARY)):
            inside = {"reduce": "conv.[conv,bn]", "hidden": "fc1", "classify": "fc2"}
            layers |= under(f"auxiliary_heads.{number}", f"aux{number + 1}", inside)
        flattened = {f"auxiliary_heads.{number}.hidden": (4, 4) for number in range(len(_AUXILIARY))}
        unused = () if self.auxiliary_heads else ("aux1.", "aux2.")
        return {"torchvision": NameMap(layers, flattened, unused=unused, epsilon=1e-3)}


class AuxiliaryHead(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32: classifies a map inside the net (section 5).

    The map is averaged to 4×4, reduced by a 1×1 convolution and flattened row by row, channels last; two linear
    layers follow, of which `reset` makes the second.

    Args:
        in_channels: channels of the map.
        norm: makes the normalisation.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.
    """

    def __init__(
        self, in_channels: int, *, norm: Norm, act: Activation, dtype: Dtype | None, param_dtype: Dtype, rngs: nnx.Rngs
    ) -> None:
        self._linear = partial(
            nnx.Linear, kernel_init=nnx.initializers.normal(0.01), dtype=dtype, param_dtype=param_dtype
        )
        self.reduce = ConvNormAct(
            in_channels, 128, 1, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.hidden = self._linear(4 * 4 * 128, 1024, rngs=rngs)
        self.dropout = nnx.Dropout(_AUXILIARY_DROPOUT, rngs=rngs)
        self.act = act

    def reset(self, num_classes: int, *, rngs: nnx.Rngs) -> None:
        """Makes a new linear layer for `num_classes` classes."""
        self.classify = self._linear(1024, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.reduce(adaptive_average_pool(x, 4))
        x = self.act(self.hidden(x.reshape(x.shape[0], -1)))
        return self.classify(self.dropout(x)).astype(jnp.float32)


register(
    "googlenet",
    GoogLeNet,
    ModelInfo("arXiv:1409.4842", 224, parameters=6_624_904, macs=1.498e9, top1=69.8),
    # Trained on pixels between -1 and 1. torchvision's net makes these of pixels that were normalised in the way of
    # ImageNet, which is the same as normalising them so in the first place.
    weights=[
        TorchvisionWeights(
            "GoogLeNet_Weights.IMAGENET1K_V1",
            "googlenet-1378be20.pth",
            Preprocessing(224, 256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        )
    ],
)
