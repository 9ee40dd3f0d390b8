"""The theoretical receptive field of every feature of a model, found by tracing it: nothing is executed or allocated.

Along each of the two axes of space, place i of a feature sees the `size` pixels of the image from
`start + i * stride` on, of which those beyond the border are padding. What a global average contributes, as in the
gates of squeeze-and-excitation, is left out, as papers do; a feature that is nothing else has no receptive field.

Source: Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from zoo.ops import force_lowering


@dataclass(frozen=True)
class ReceptiveField:
    """What the places of a feature see along one axis, in pixels of the image.

    Attributes:
        size: how many pixels a place sees, from the first to the last.
        stride: from what a place sees to what its neighbour sees; a fraction after a transposed convolution.
        start: the first pixel that the first place sees; below 0 in the padding.
    """

    size: Fraction
    stride: Fraction
    start: Fraction

    def windows(self, size: int, stride: int, padding: int, dilation: int, input_dilation: int = 1) -> ReceptiveField:
        """Of the output of a layer that slides a window over places with this field.

        Args:
            size: places in the window.
            stride: step of the window.
            padding: places before the first.
            dilation: distance between places in the window.
            input_dilation: distance to which the places were pulled apart before, with zeros between them.
        """
        step = self.stride / input_dilation
        return ReceptiveField(self.size + dilation * (size - 1) * step, step * stride, self.start - padding * step)

    def joined(self, other: ReceptiveField) -> ReceptiveField:
        """Of the sum of two features at the same places."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return ReceptiveField(end - start, max(self.stride, other.stride), start)


_Axes = tuple[ReceptiveField | None, ...]
"""The field along each axis of an array; None along those that are not of space."""


def receptive_fields(
    model: nnx.Module, image_shape: tuple[int, int, int]
) -> dict[str, tuple[ReceptiveField, ReceptiveField] | None]:
    """The receptive fields of `model.features`, vertical and horizontal; None for what has none.

    Args:
        model: has a method `features` of images (N, *image_shape); may be an abstract one from `nnx.eval_shape`.
        image_shape: large enough that no layer sees nothing but padding.

    Raises:
        NotImplementedError: if an operation of the model moves places in a way that is not known here.
    """
    return receptive_fields_of(lambda model, images: model.features(images), model, image_shape)


def receptive_fields_of(
    function: Callable[[Any, jax.Array], Any], model: nnx.Module, image_shape: tuple[int, int, int]
) -> dict[str, tuple[ReceptiveField, ReceptiveField] | None]:
    """As `receptive_fields`, of the maps (N, H, W, C) in the dictionary that `function(model, images)` gives."""
    graph, state = nnx.split(nnx.view(model, deterministic=True, use_running_average=True, raise_if_not_found=False))
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)

    def run(state: Any, images: jax.Array) -> Any:
        return function(nnx.merge(graph, state, copy=True), images)

    with force_lowering("native"):
        traced, outputs = jax.make_jaxpr(run, return_shape=True)(state, images)
    pixel = ReceptiveField(Fraction(1), Fraction(1), Fraction(0))
    arguments: list[_Axes] = [(None,) * len(leaf.shape) for leaf in jax.tree.leaves(state)]
    found = _trace(traced.jaxpr, [*arguments, (None, pixel, pixel, None)])
    return {
        name: None if axes[1] is None or axes[2] is None else (axes[1], axes[2])
        for name, axes in zip(sorted(outputs), found, strict=True)
    }


def _trace(jaxpr: Jaxpr, arguments: Sequence[_Axes]) -> list[_Axes]:
    """The fields of a program's results, given those of its arguments."""
    known: dict[Any, _Axes] = dict(zip(jaxpr.invars, arguments, strict=True))

    def axes_of(variable: Any) -> _Axes:
        nothing = (None,) * len(_shape(variable))
        return nothing if isinstance(variable, Literal) else known.get(variable, nothing)

    for equation in jaxpr.eqns:
        results = _step(equation, [axes_of(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [axes_of(variable) for variable in jaxpr.outvars]


def _step(equation: JaxprEqn, inputs: list[_Axes]) -> list[_Axes]:
    name, parameters = equation.primitive.name, equation.params
    nothing: list[_Axes] = [(None,) * len(_shape(variable)) for variable in equation.outvars]
    if not any(axis for axes in inputs for axis in axes):
        return nothing
    inner = next((value for value in parameters.values() if isinstance(value, ClosedJaxpr | Jaxpr)), None)
    if name in _RULES:
        return [_RULES[name](equation, inputs)] * len(equation.outvars)
    if inner is not None and name not in _MOVERS:
        return _trace(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner, inputs)
    if name in _MOVERS or not _goes_place_by_place(equation, inputs):
        raise NotImplementedError(f"how {name} moves places is not known")
    return [_join(inputs, len(_shape(variable))) for variable in equation.outvars]


def _goes_place_by_place(equation: JaxprEqn, inputs: list[_Axes]) -> bool:
    """Whether every input that has places has the shape of the outputs."""
    shapes = {_shape(variable) for variable in equation.outvars}
    placed = (variable for variable, axes in zip(equation.invars, inputs, strict=True) if any(axes))
    return all(shapes == {_shape(variable)} for variable in placed)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _join(inputs: Sequence[_Axes], ndim: int) -> _Axes:
    """Of an operation of several arrays place by place."""
    joined: list[ReceptiveField | None] = [None] * ndim
    for axes in inputs:
        for number, axis in enumerate(axes[:ndim] if len(axes) == ndim else ()):
            before = joined[number]
            joined[number] = axis if before is None else before if axis is None else before.joined(axis)
    return tuple(joined)


def _convolution(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    parameters, kernel = equation.params, _shape(equation.invars[1])
    layout = parameters["dimension_numbers"]
    result: list[ReceptiveField | None] = [None] * len(kernel)
    for number, (input_axis, output_axis) in enumerate(zip(layout.lhs_spec[2:], layout.out_spec[2:], strict=True)):
        field = inputs[0][input_axis]
        result[output_axis] = field and field.windows(
            kernel[layout.rhs_spec[2 + number]],
            parameters["window_strides"][number],
            parameters["padding"][number][0],
            parameters["rhs_dilation"][number],
            parameters["lhs_dilation"][number],
        )
    return tuple(result)


def _window(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    parameters = equation.params
    return tuple(
        field
        and field.windows(
            parameters["window_dimensions"][axis],
            parameters["window_strides"][axis],
            parameters["padding"][axis][0],
            parameters["window_dilation"][axis],
            parameters["base_dilation"][axis],
        )
        for axis, field in enumerate(inputs[0])
    )


def _pad(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    return tuple(
        field and ReceptiveField(field.size, field.stride / (inside + 1), field.start - before * field.stride)
        for field, (before, _, inside) in zip(inputs[0], equation.params["padding_config"], strict=True)
    )


def _slice(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    starts, strides = equation.params["start_indices"], equation.params["strides"]
    return tuple(
        field and ReceptiveField(field.size, field.stride * step, field.start + start * field.stride)
        for field, start, step in zip(inputs[0], starts, strides or [1] * len(starts), strict=True)
    )


def _transpose(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    return tuple(inputs[0][axis] for axis in equation.params["permutation"])


def _broadcast(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    result: list[ReceptiveField | None] = [None] * len(equation.params["shape"])
    for axis, target in enumerate(equation.params["broadcast_dimensions"]):
        result[target] = inputs[0][axis]
    return tuple(result)


def _reduce(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    return tuple(field for axis, field in enumerate(inputs[0]) if axis not in equation.params["axes"])


def _reshape(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    """Axes of space that keep their length and what is before them keep their field; flattened ones lose it."""
    before, after = _shape(equation.invars[0]), _shape(equation.outvars[0])
    result: list[ReceptiveField | None] = [None] * len(after)
    for axis, field in enumerate(inputs[0]):
        for target, length in enumerate(after):
            if length == before[axis] and math.prod(after[:target]) == math.prod(before[:axis]):
                result[target] = result[target] or field
    return tuple(result)


def _product(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    (contracted, batch) = equation.params["dimension_numbers"]
    result: list[ReceptiveField | None] = [
        inputs[0][axis] or inputs[1][other] for axis, other in zip(*batch, strict=True)
    ]
    for axes, summed, shared in zip(inputs, contracted, batch, strict=True):
        result += [field for axis, field in enumerate(axes) if axis not in (*summed, *shared)]
    return tuple(result)


def _concatenate(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    if any(axes[equation.params["dimension"]] for axes in inputs):
        raise NotImplementedError("places that are joined end to end have no common stride")
    return _join(inputs, len(inputs[0]))


def _split(equation: JaxprEqn, inputs: list[_Axes]) -> _Axes:
    if inputs[0][equation.params["axis"]]:
        raise NotImplementedError("places that are split have no common start")
    return inputs[0]


_MOVERS = ("rev", "sort", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "scan", "while")
"""Operations that keep a shape, and yet do not go place by place."""

_RULES: dict[str, Callable[[JaxprEqn, list[_Axes]], _Axes]] = {
    "conv_general_dilated": _convolution,
    "reduce_window_max": _window,
    "reduce_window_sum": _window,
    "reduce_window": _window,
    "pad": _pad,
    "slice": _slice,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "reduce_sum": _reduce,
    "reduce_max": _reduce,
    "reshape": _reshape,
    "squeeze": _reshape,
    "dot_general": _product,
    "concatenate": _concatenate,
    "split": _split,
}
