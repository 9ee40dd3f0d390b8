"""An ONNX graph in the making, and the values in it.

ONNX keeps channels before height and width, and its runtimes are fast that way, so activations are (N, C, H, W) inside:
what comes of a convolution is kept with its axes 1 and 2, height and width, at the end, and is transposed only where an
operation does not allow it, which in these nets is at the images alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper


def channels_first_order(rank: int) -> tuple[int, ...]:
    """The axes of a value with the second and third one at the end; as they are if there are no others after them."""
    return (0, *range(3, rank), 1, 2) if rank > 3 else tuple(range(rank))


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the images.

    Attributes:
        name: of what the graph keeps.
        shape: of the value in JAX; its first axis, the number of images, is symbolic.
        channels_first: whether axes 1 and 2 are kept at the end.
        uses: how many operations take the value.
        factor: the value is this times what the graph keeps. Sums over windows are kept as the averages that ONNX has
            operators for; what divides them by the number of pixels then only changes the factor.
    """

    name: str
    shape: tuple[Any, ...]
    channels_first: bool
    uses: int
    factor: float = 1.0

    def axis(self, axis: int) -> int:
        """Where the graph keeps an axis of the value."""
        return channels_first_order(len(self.shape)).index(axis) if self.channels_first else axis


Operand = Tensor | np.ndarray
"""Constants are arrays."""


class Equation(NamedTuple):
    """An operation of JAX.

    Attributes:
        primitive: its name.
        params: its parameters, as JAX has them.
        inputs: what it takes: the number of a variable, or a constant.
        outputs: the numbers of the variables that it gives.
        shapes: of these variables.
        uses: how many operations take each.
    """

    primitive: str
    params: dict[str, Any]
    inputs: list[int | np.ndarray]
    outputs: list[int]
    shapes: list[tuple[Any, ...]]
    uses: list[int]


@dataclass
class Graph:
    """The operators and the weights so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _transposed: dict[str, str] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Adds an operator; gives the names of its outputs."""
        name = f"{operator}_{next(self._numbers)}"
        names = [name] if outputs == 1 else [f"{name}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name, **attributes))
        return names

    def weight(self, array: Any) -> str:
        """Adds a constant; gives its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name))
        return name

    def kept(self, x: Tensor, *, channels_first: bool) -> str:
        """The name of a value in one of the two layouts, apart from its factor."""
        if x.channels_first == channels_first or len(x.shape) < 4:
            return x.name
        if x.name not in self._transposed:
            order = channels_first_order(len(x.shape))
            axes = order if channels_first else np.argsort(order).tolist()
            (self._transposed[x.name],) = self.add("Transpose", x.name, perm=axes)
        return self._transposed[x.name]

    def name_of(self, operand: Operand, *, channels_first: bool) -> str:
        """The name of a value or of a constant in one of the two layouts."""
        if isinstance(operand, np.ndarray):
            return self.weight(operand.transpose(channels_first_order(operand.ndim)) if channels_first else operand)
        name = self.kept(operand, channels_first=channels_first)
        if operand.factor != 1:
            (name,) = self.add("Mul", name, self.weight(np.float32(operand.factor)))
        return name

    def only_for(self, x: Tensor, *operators: str) -> onnx.NodeProto | None:
        """The operator that gives a value, if it is one of these, and the next to use the value is the only one."""
        if x.uses != 1:
            return None
        return next((node for node in self.nodes if x.name in node.output and node.op_type in operators), None)

    def model(self, image_shape: tuple[int, int, int], logits: Tensor) -> onnx.ModelProto:
        """The model `images` -> `logits`, for any number of float32 images of a shape (H, W, C)."""
        self.add("Identity", self.name_of(logits, channels_first=False))
        self.nodes[-1].output[0] = "logits"
        used = {name for node in self.nodes for name in node.input}
        images, classes = (
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])
            for name, shape in (("images", image_shape), ("logits", logits.shape[1:]))
        )
        weights = [weight for weight in self.weights if weight.name in used]
        graph = helper.make_graph(self.nodes, "zoo", [images], [classes], weights)
        return helper.make_model(graph, producer_name="zoo", ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
