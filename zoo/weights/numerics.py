"""`Numerics`: how a net computes with its weights, where implementations of the same net differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flax import nnx

from zoo.blocks import Conv
from zoo.models._net import Net


@dataclass(frozen=True)
class Numerics:
    """What no tensor of a checkpoint tells.

    Attributes:
        epsilon: what the batch norms add to the variance; None if they differ or there are none.
        tensorflow_padding: whether strided convolutions pad as TensorFlow's `SAME`, which at stride 2 and an even
            size puts no pixel before the image and one after it, where PyTorch puts one on each side.
        dilates_first: `Net.dilates_first`.
    """

    epsilon: float | None = None
    tensorflow_padding: bool = False
    dilates_first: bool | None = None

    @classmethod
    def of(cls, model: nnx.Module) -> Numerics:
        """Those of a model."""
        epsilons = {layer.epsilon for layer in _layers(model, nnx.BatchNorm)}
        return cls(
            epsilon=epsilons.pop() if len(epsilons) == 1 else None,
            tensorflow_padding=any(layer.padding == "SAME" for layer in _layers(model, nnx.Conv)),
            dilates_first=model.dilates_first if isinstance(model, Net) else None,
        )

    def apply(self, model: nnx.Module, *, set_epsilon: bool = True, set_dilation: bool = True) -> None:
        """Makes a model compute so, but for the epsilon or the dilation if that is not to be set."""
        if (
            self.dilates_first is not None
            and set_dilation
            and isinstance(model, Net)
            and model.dilates_first is not None
        ):
            model.dilate_first(self.dilates_first)
        if self.epsilon is not None and set_epsilon:
            for norm in _layers(model, nnx.BatchNorm):
                norm.epsilon = self.epsilon
        if self.tensorflow_padding:
            for conv in _layers(model, Conv):
                conv.padding = "SAME"


def _layers(model: nnx.Module, kind: type) -> list[Any]:
    return [layer for _, layer in nnx.iter_modules(model) if isinstance(layer, kind)]
