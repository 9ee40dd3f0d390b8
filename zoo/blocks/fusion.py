"""`fuse`: a model for inference whose batch norms are part of the convolutions before them."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import ConvNormAct
from zoo.blocks.flattened import FlattenedConv
from zoo.blocks.grouped import ShuffledGroupedConv
from zoo.blocks.spatially_separable import SpatiallySeparableConv
from zoo.blocks.transposed import ConvTranspose, ResizeConv

_Model = TypeVar("_Model", bound=nnx.Module)
_NORMS = (BatchNorm, nnx.BatchNorm)
_LAYERS = (nnx.Conv, nnx.Linear, ConvTranspose, ShuffledGroupedConv)  # the last axis of their kernels is the outputs'
_CHAINS = {FlattenedConv: "horizontal", SpatiallySeparableConv: "horizontal", ResizeConv: "conv"}  # their last layers


class FoldedNorm(nnx.Module):
    """The identity, (..., channels) to the same shape, in the place of a batch norm that `fuse` has folded.

    It keeps the batch norm's switch between training and evaluation, so that training is refused.

    Args:
        dtype: of the result, that of the batch norm; None for that of the input.
    """

    def __init__(self, dtype: Dtype | None = None) -> None:
        self.use_running_average = True
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Gives `x` back.

        Raises:
            RuntimeError: in training mode, in which a batch norm would have normalised by the batch.
        """
        if not self.use_running_average:
            raise RuntimeError(
                "this model comes from zoo.fuse and has no batch norms to train; call model.eval(), or train the model "
                "that was given to zoo.fuse"
            )
        return x.astype(self.dtype or x.dtype)


def fuse(model: _Model) -> _Model:
    """Folds each batch norm into the convolution or linear layer right before it, for inference.

    In evaluation a batch norm is, channel by channel, an affine map, and so can be a part of the kernel and the bias
    of what computes its input (1712.05877, section 3.2): the map is read and written once less. Results stay the same
    up to rounding. Folding is done in float64 on the host, and the new biases have the dtype of the kernels.

    A norm is folded where it is that of a `ConvNormAct`, which all models of the zoo are made of, or where it follows
    an `nnx.Conv`, an `nnx.Linear` or a convolution of `zoo.blocks` in an `nnx.Sequential`. Every other batch norm is
    kept, because nothing but the code of the module around it tells what it follows; a warning names those.

    Args:
        model: any NNX module whose parameters have values; it stays as it is.

    Returns:
        A new model in evaluation mode, of the same classes, with a `FoldedNorm` in the place of every folded norm and
        a bias in every layer that one was folded into. Called in training mode, as after `model.train()`, it raises a
        `RuntimeError`. Its weights have other names and other values than those of `model`, and load into no model
        that has not been fused.

    Warns:
        UserWarning: if batch norms are kept.
    """
    fused = nnx.clone(model)
    fused.eval()
    folded = 0
    modules: list[Any] = [module for _, module in nnx.iter_modules(fused)]
    for module in modules:
        if _computes_as(module, ConvNormAct):
            folded += _fold_in_unit(module)
        elif _computes_as(module, nnx.Sequential):
            folded += _fold_in_sequence(module.layers)
    kept = [".".join(map(str, path)) for path, module in nnx.iter_modules(fused) if isinstance(module, nnx.BatchNorm)]
    if kept:
        warnings.warn(
            f"zoo.fuse folded {folded} batch norms and kept {len(kept)} that are neither in a ConvNormAct nor right "
            f"after a convolution in an nnx.Sequential: {', '.join(kept)}",
            stacklevel=2,
        )
    return fused


def _computes_as(module: Any, *kinds: type) -> bool:
    """Whether a module is of one of these classes, or of a subclass with the same `__call__`."""
    return any(isinstance(module, kind) and type(module).__call__ is kind.__call__ for kind in kinds)


def _fold_in_unit(unit: ConvNormAct) -> int:
    conv = _folded(unit.conv, unit.norm)
    if unit.norm is None or conv is None:
        return 0
    unit.conv, unit.norm = conv, FoldedNorm(unit.norm.dtype)
    return 1


def _fold_in_sequence(layers: nnx.List[Any]) -> int:
    folded = 0
    for number in range(1, len(layers)):
        layer = _folded(layers[number - 1], layers[number])
        if layer is not None:
            layers[number - 1], layers[number] = layer, FoldedNorm(layers[number].dtype)
            folded += 1
    return folded


def _folded(module: Any, norm: Any) -> Any:
    """`module` with `norm` folded into it; None if `norm` is no batch norm over channels, or `module` not linear.

    It is a new one: the same layer may be part of something else, with another norm after it or none.
    """
    if not _computes_as(norm, *_NORMS) or norm.axis != -1 or _last_layer(module) is None:
        return None
    module = nnx.clone(module)
    _fold(_last_layer(module), norm)
    return module


def _last_layer(module: Any) -> Any:
    """The linear layer that gives the output of `module`; None if it is not known to be one."""
    if _computes_as(module, *_LAYERS):
        return module
    for kind, name in _CHAINS.items():
        if _computes_as(module, kind):
            return _last_layer(getattr(module, name))
    return None


def _fold(layer: Any, norm: nnx.BatchNorm) -> None:
    """Makes a layer give what `norm` makes of its outputs in evaluation, in place.

    On the host, which is done with it before XLA would have compiled the operations for the first of many shapes.
    """
    kernel = layer.kernel[...]
    scale = 1 / np.sqrt(_float64(norm.var) + norm.epsilon)
    if norm.scale is not None:
        scale = scale * _float64(norm.scale)
    shift = -_float64(norm.mean) * scale
    if norm.bias is not None:
        shift = shift + _float64(norm.bias)
    if isinstance(layer, ShuffledGroupedConv):  # The norm sees the channels in another order than the kernel.
        scale, shift = (array.reshape(-1, layer.feature_group_count).T.ravel() for array in (scale, shift))
    if layer.bias is not None:
        shift = shift + _float64(layer.bias) * scale
    layer.kernel.set_value(_placed_as(kernel, _float64(layer.kernel) * scale, kernel.dtype))
    layer.bias = nnx.Param(_placed_as(norm.mean[...], shift, kernel.dtype))
    if not isinstance(layer, ConvTranspose):  # which has no such attribute
        layer.use_bias = True


def _float64(variable: nnx.Variable[jax.Array]) -> np.ndarray:
    return np.asarray(variable[...]).astype(np.float64)


def _placed_as(there: jax.Array, array: np.ndarray, dtype: Dtype) -> jax.Array:
    """An array of a dtype, on the devices where an array of the same shape is."""
    return jax.device_put(array.astype(dtype), there.sharding if there.committed else None)
