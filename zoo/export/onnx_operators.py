"""What becomes of each of JAX's primitives in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from string import ascii_lowercase
from typing import Any

import numpy as np
from jax import lax

from zoo.export.errors import ExportError
from zoo.export.onnx_graph import Equation, Graph, Operand, Tensor, channels_first_order

_NHWC = lax.ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))

Conversion = Callable[[Graph, Equation, list[Operand]], list[Tensor]]


def _convolution(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    x, kernel = operands
    params = equation.params
    pads = params["padding"]
    _require(isinstance(x, Tensor) and isinstance(kernel, np.ndarray), equation, "a kernel that depends on the images")
    _require(params["dimension_numbers"] == _NHWC, equation, f"the layout {params['dimension_numbers']}")
    _require(len(pads) == 2 and min(map(min, pads)) >= 0, equation, f"padding {pads}")
    _require(set(params["lhs_dilation"]) == {1}, equation, "a dilated input, as of a transposed convolution")
    _require(params["batch_group_count"] == 1, equation, "groups of images")
    assert isinstance(kernel, np.ndarray)
    return _added(
        graph,
        equation,
        "Conv",
        graph.name_of(x, channels_first=True),
        graph.weight(kernel.transpose(3, 2, 0, 1)),
        channels_first=True,
        kernel_shape=kernel.shape[:2],
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        pads=[before for before, _ in pads] + [after for _, after in pads],
        group=params["feature_group_count"],
    )


def _product(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """Of the last axis of vectors or, as a 1×1 convolution, of maps with a matrix; any other one with a constant."""
    x, matrix = operands
    (axes, matrix_axes), batch = equation.params["dimension_numbers"]
    rank = len(x.shape)
    is_layer = isinstance(matrix, np.ndarray) and matrix.ndim == 2 and rank in (2, 4) and tuple(axes) == (rank - 1,)
    if not is_layer or batch != ((), ()):
        return _einsum(graph, equation, operands)
    assert isinstance(matrix, np.ndarray)
    weights = matrix if tuple(matrix_axes) == (0,) else matrix.T
    if rank == 2:
        return _added(graph, equation, "Gemm", graph.name_of(x, channels_first=False), graph.weight(weights))
    inputs = graph.name_of(x, channels_first=True), graph.weight(weights.T[:, :, None, None])
    return _added(graph, equation, "Conv", *inputs, channels_first=True)


def _einsum(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """Of any axes, as in interpolation along height and width."""
    contracted, batch = equation.params["dimension_numbers"]
    _require(any(isinstance(x, np.ndarray) for x in operands), equation, "two factors that depend on the images")
    letters = iter(ascii_lowercase)
    labels = [[""] * len(x.shape) for x in operands]
    for axes in (*zip(*batch, strict=True), *zip(*contracted, strict=True)):
        letter = next(letters)
        for label, axis in zip(labels, axes, strict=True):
            label[axis] = letter
    result = [labels[0][axis] for axis in batch[0]]
    for label in labels:
        for axis in [axis for axis, letter in enumerate(label) if not letter]:
            label[axis] = next(letters)
            result.append(label[axis])
    first, second, out = map("".join, (*labels, result))
    names = [graph.name_of(x, channels_first=False) for x in operands]
    (name,) = graph.add("Einsum", *names, equation=f"{first},{second}->{out}")
    return [Tensor(name, equation.shapes[0], channels_first=False, uses=equation.uses[0])]


def _sum_of_two(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """A constant for each channel becomes the bias of the layer before it, if nothing else uses what that gives."""
    for x, constant in (operands, operands[::-1]):
        if isinstance(x, Tensor) and isinstance(constant, np.ndarray) and x.shape == equation.shapes[0]:
            layer = graph.only_for(x, "Conv", "Gemm")
            if layer and len(layer.input) == 2 and constant.shape[-1:] == (constant.size,) == x.shape[-1:]:
                layer.input.append(graph.weight(constant.ravel()))
                return [replace(x, uses=equation.uses[0])]
    return _elementwise("Add")(graph, equation, operands)


def _elementwise(operator: str) -> Conversion:
    def convert(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
        channels_first = any(isinstance(x, Tensor) and x.channels_first for x in operands)
        names = [graph.name_of(x, channels_first=channels_first) for x in operands]
        return _added(graph, equation, operator, *names, channels_first=channels_first)

    return convert


def _scaled(operator: str, factor_of: Callable[[float], float]) -> Conversion:
    """Of a value that is kept with a factor, the factor alone is scaled."""

    def convert(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
        for x, constant in (operands, operands[::-1])[: 1 if operator == "Div" else 2]:
            if isinstance(x, Tensor) and x.factor != 1 and isinstance(constant, np.ndarray) and constant.ndim == 0:
                factor = x.factor * factor_of(float(constant))
                return [replace(x, uses=equation.uses[0], factor=1.0 if abs(factor - 1) < 1e-6 else factor)]
        return _elementwise(operator)(graph, equation, operands)

    return convert


def _maximum(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """With a number, Relu or Clip, which runtimes compute together with the layer before; they do not so with Max."""
    x, bound = operands if isinstance(operands[0], Tensor) else operands[::-1]
    if not (isinstance(x, Tensor) and isinstance(bound, np.ndarray) and bound.ndim == 0):
        return _elementwise("Max")(graph, equation, operands)
    name = graph.name_of(x, channels_first=x.channels_first)
    inputs = [name] if bound == 0 else [name, graph.weight(bound)]
    return _added(graph, equation, "Relu" if bound == 0 else "Clip", *inputs, channels_first=x.channels_first)


def _minimum(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """With a number, Clip, together with a bound below that comes right before."""
    x, bound = operands if isinstance(operands[0], Tensor) else operands[::-1]
    if not (isinstance(x, Tensor) and isinstance(bound, np.ndarray) and bound.ndim == 0):
        return _elementwise("Min")(graph, equation, operands)
    below = graph.only_for(x, "Relu", "Clip")
    if below and len(below.input) < 3:
        graph.nodes.remove(below)
        least = graph.weight(np.float32(0)) if below.op_type == "Relu" else below.input[1]
        inputs = [below.input[0], least, graph.weight(bound)]
    else:
        inputs = [graph.name_of(x, channels_first=x.channels_first), "", graph.weight(bound)]
    return _added(graph, equation, "Clip", *inputs, channels_first=x.channels_first)


def _affine(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """A batch norm that was not folded: `x * scale + shift`."""
    x, *maps = operands
    assert isinstance(x, Tensor)
    scale, shift = (np.reshape(array, (1,) * (len(x.shape) - 1) + (-1,)) for array in maps)  # type: ignore[arg-type]
    (product,) = _elementwise("Mul")(graph, equation, [x, scale])
    return _elementwise("Add")(graph, equation, [product, shift])


def _sum_over_axes(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    (x,) = operands
    axes = sorted(equation.params["axes"])
    if isinstance(x, Tensor) and len(x.shape) == 4 and axes == [1, 2]:
        (average,) = graph.add("GlobalAveragePool", graph.kept(x, channels_first=True))
        (sums,) = _added(graph, equation, "Flatten", average)
        return [replace(sums, factor=x.factor * x.shape[1] * x.shape[2])]
    name = graph.name_of(x, channels_first=False)
    return _added(graph, equation, "ReduceSum", name, graph.weight(np.array(axes, np.int64)), keepdims=0)


def _pooling(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    (x,) = operands
    assert isinstance(x, Tensor)
    params = equation.params
    (first, *window, last), padding = params["window_dimensions"], params["padding"]
    _require(len(window) == 2 and first == last == 1, equation, f"a window of {params['window_dimensions']}")
    _require(padding[0] == padding[3] == (0, 0), equation, f"padding {padding}")
    _require({*params["base_dilation"], *params["window_dilation"]} == {1}, equation, "dilation")
    pads = [before for before, _ in padding[1:3]] + [after for _, after in padding[1:3]]
    shared = {"kernel_shape": window, "strides": params["window_strides"][1:3], "pads": pads}
    if equation.primitive == "reduce_window_max":
        return _added(graph, equation, "MaxPool", graph.name_of(x, channels_first=True), channels_first=True, **shared)
    kept = graph.kept(x, channels_first=True)
    (averages,) = _added(graph, equation, "AveragePool", kept, channels_first=True, count_include_pad=1, **shared)
    return [replace(averages, factor=x.factor * window[0] * window[1])]


def _reshaping(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """Reshape, squeeze, and a broadcast that only adds axes; the first axis stays."""
    (x,) = operands
    assert isinstance(x, Tensor)
    old, new = x.shape, equation.shapes[0]
    _require(new[:1] == old[:1], equation, "a change of the first axis, that of the images")
    has_no_space = not x.channels_first or old[1:3] == (1, 1)  # what is kept is then in JAX's order, too
    same_space, no_space = x.channels_first and new[:3] == old[:3], has_no_space and new[1:3] == (1, 1)
    channels_first = len(new) > 3 and (same_space or no_space)
    name = graph.kept(x, channels_first=x.channels_first and (channels_first or has_no_space))
    sizes = [new[axis] for axis in channels_first_order(len(new))] if channels_first else list(new)
    target = graph.weight(np.array([0, *sizes[1:]], np.int64))
    (result,) = _added(graph, equation, "Reshape", name, target, channels_first=channels_first)
    return [replace(result, factor=x.factor)]


def _broadcast(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    """Axes of length 1 are added first, and then repeated with those that there were."""
    (x,) = operands
    assert isinstance(x, Tensor)
    new = equation.shapes[0]
    shape = [1] * len(new)
    for axis, length in zip(equation.params["broadcast_dimensions"], x.shape, strict=True):
        shape[axis] = length
    _require(shape[0] == new[0] == x.shape[0], equation, "a change of the first axis, that of the images")
    (x,) = _reshaping(graph, equation._replace(shapes=[tuple(shape)]), operands)
    if x.shape == new:
        return [x]
    name, order = graph.name_of(x, channels_first=x.channels_first), _order(x, len(new))
    target = graph.weight(np.array([1, *(new[axis] for axis in order[1:])], np.int64))
    return _added(graph, equation, "Expand", name, target, channels_first=x.channels_first)


def _transposition(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    (x,) = operands
    assert isinstance(x, Tensor)
    order = equation.params["permutation"]
    if x.channels_first and order[:3] == (0, 1, 2):  # of channels alone
        kept = (0, *(axis - 2 for axis in order[3:]), len(order) - 2, len(order) - 1)
        name = graph.name_of(x, channels_first=True)
        return _added(graph, equation, "Transpose", name, channels_first=True, perm=kept)
    return _added(graph, equation, "Transpose", graph.name_of(x, channels_first=False), perm=order)


def _concatenation(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    channels_first = any(isinstance(x, Tensor) and x.channels_first for x in operands)
    names = [graph.name_of(x, channels_first=channels_first) for x in operands]
    axis = Tensor("", equation.shapes[0], channels_first, uses=0).axis(equation.params["dimension"])
    return _added(graph, equation, "Concat", *names, channels_first=channels_first, axis=axis)


def _splitting(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    (x,) = operands
    assert isinstance(x, Tensor)
    sizes = graph.weight(np.array(equation.params["sizes"], np.int64))
    name, axis = graph.name_of(x, channels_first=x.channels_first), x.axis(equation.params["axis"])
    names = graph.add("Split", name, sizes, outputs=len(equation.outputs), axis=axis)
    return [
        Tensor(name, shape, x.channels_first, uses)
        for name, shape, uses in zip(names, equation.shapes, equation.uses, strict=True)
    ]


def _slicing(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    (x,) = operands
    assert isinstance(x, Tensor)
    params = equation.params
    steps = params["strides"] or (1,) * len(x.shape)
    parts = [
        (start, end, x.axis(axis), step)
        for axis, (start, end, step) in enumerate(
            zip(params["start_indices"], params["limit_indices"], steps, strict=True)
        )
        if not (start == 0 and end == x.shape[axis] and step == 1)
    ]
    _require(all(axis != 0 for _, _, axis, _ in parts), equation, "some of the images")
    if not parts:
        return [replace(x, uses=equation.uses[0])]
    name = graph.name_of(x, channels_first=x.channels_first)
    inputs = [graph.weight(np.array(values, np.int64)) for values in zip(*parts, strict=True)]
    return _added(graph, equation, "Slice", name, *inputs, channels_first=x.channels_first)


def _padding(graph: Graph, equation: Equation, operands: list[Operand]) -> list[Tensor]:
    x, value = operands
    config = equation.params["padding_config"]
    is_around = all(before >= 0 and after >= 0 and between == 0 for before, after, between in config)
    _require(isinstance(x, Tensor) and isinstance(value, np.ndarray) and is_around, equation, f"{config}")
    assert isinstance(x, Tensor)
    order = _order(x, len(config))
    pads = np.array([config[axis][end] for end in (0, 1) for axis in order], np.int64)
    inputs = graph.name_of(x, channels_first=x.channels_first), graph.weight(pads), graph.weight(value)
    return _added(graph, equation, "Pad", *inputs, channels_first=x.channels_first)


def _order(x: Tensor, rank: int) -> Sequence[int]:
    """The axes of a value of so many axes, in the order in which the graph keeps them, as it keeps those of `x`."""
    return channels_first_order(rank) if x.channels_first else range(rank)


def _added(
    graph: Graph, equation: Equation, operator: str, *inputs: str, channels_first: bool = False, **attributes: Any
) -> list[Tensor]:
    """Adds the operator that an equation becomes."""
    (name,) = graph.add(operator, *inputs, **attributes)
    return [Tensor(name, equation.shapes[0], channels_first, equation.uses[0])]


def _require(holds: bool, equation: Equation, what: str) -> None:
    if not holds:
        raise ExportError(f"ONNX: the exporter does not know {equation.primitive} with {what}")


OPERATORS: dict[str, Conversion] = {
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "zoo_channel_affine": _affine,
    "add": _sum_of_two,
    "sub": _elementwise("Sub"),
    "mul": _scaled("Mul", lambda constant: constant),
    "div": _scaled("Div", lambda constant: 1 / constant),
    "max": _maximum,
    "min": _minimum,
    "logistic": _elementwise("Sigmoid"),
    "exp": _elementwise("Exp"),
    "log": _elementwise("Log"),
    "tanh": _elementwise("Tanh"),
    "erf": _elementwise("Erf"),
    "sqrt": _elementwise("Sqrt"),
    "neg": _elementwise("Neg"),
    "abs": _elementwise("Abs"),
    "reduce_sum": _sum_over_axes,
    "reduce_window_sum": _pooling,
    "reduce_window_max": _pooling,
    "reshape": _reshaping,
    "squeeze": _reshaping,
    "broadcast_in_dim": _broadcast,
    "transpose": _transposition,
    "concatenate": _concatenation,
    "split": _splitting,
    "slice": _slicing,
    "pad": _padding,
}
