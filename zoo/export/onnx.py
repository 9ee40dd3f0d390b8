"""ONNX, for onnxruntime and whatever else reads it: an exporter of our own for the few primitives of these nets.

The program of the net is traced with XLA's own convolutions, its calls are written out, what depends on no image is
computed, and every operation that is left becomes an operator (`zoo.export.onnx_operators`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.export import symbolic_shape
from jax.extend.core import Literal

from zoo.export.errors import ExportError
from zoo.export.net import Net
from zoo.ops import force_lowering

if TYPE_CHECKING:
    import onnx

    from zoo.export.onnx_graph import Equation

_CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}  # calls -> the parameter that has what is called


def write(net: Net, path: Path) -> None:
    """Writes a net for any number of images, float32 (N, H, W, 3) -> logits, (N, classes) or (N, H, W, classes).

    Raises:
        ExportError: if it uses a primitive that the exporter does not know, or in a way that it does not know.
    """
    from onnx import save

    save(model_of(net.infer, net.image_shape), path)


def model_of(function: Callable[[jax.Array], jax.Array], image_shape: tuple[int, int, int]) -> onnx.ModelProto:
    """The ONNX model of a function of images, `images` -> `logits`.

    Args:
        function: maps float32 (N, H, W, C) to float32 (N, ...), by primitives that `OPERATORS` has.
        image_shape: (H, W, C).

    Raises:
        ExportError: for a primitive that it has not, or does not know in this use.
    """
    from onnx import checker

    from zoo.export.onnx_graph import Graph, Tensor
    from zoo.export.onnx_operators import OPERATORS

    images = jax.ShapeDtypeStruct((*symbolic_shape("N"), *image_shape), np.float32)
    with force_lowering("native"):
        program = jax.jit(function).trace(images).jaxpr
    variables = count()
    given = next(variables)
    equations, (result,) = _flatten(program, [given], variables)
    if not isinstance(result, int):
        raise ExportError("ONNX: the logits do not depend on the images")
    uses = Counter([value for equation in equations for value in equation.inputs if isinstance(value, int)] + [result])
    graph = Graph()
    values = {given: Tensor("images", images.shape, channels_first=False, uses=uses[given])}
    for equation in equations:
        if equation.primitive not in OPERATORS:
            raise ExportError(f"ONNX: the exporter has no operator for JAX's primitive {equation.primitive}")
        operands = [values[value] if isinstance(value, int) else value for value in equation.inputs]
        equation = equation._replace(uses=[uses[variable] for variable in equation.outputs])
        values.update(zip(equation.outputs, OPERATORS[equation.primitive](graph, equation, operands), strict=True))
    model = graph.model(image_shape, values[result])
    checker.check_model(model, full_check=True)
    return model


def _flatten(
    program: Any, arguments: Sequence[int | np.ndarray], variables: Iterator[int]
) -> tuple[list[Equation], list[int | np.ndarray]]:
    """The operations of a program whose calls are written out, and its results; constants are computed.

    Args:
        program: a closed jaxpr.
        arguments: of the program: the numbers of variables, or constants.
        variables: the numbers that are free.
    """
    from zoo.export.onnx_graph import Equation

    equations: list[Equation] = []
    values: dict[Any, int | np.ndarray] = dict(zip(program.jaxpr.invars, arguments, strict=True))
    values.update(zip(program.jaxpr.constvars, map(np.asarray, program.consts), strict=True))

    def value_of(atom: Any) -> int | np.ndarray:
        return np.asarray(atom.val) if isinstance(atom, Literal) else values[atom]

    for step in program.jaxpr.eqns:
        primitive, inputs = step.primitive, [value_of(atom) for atom in step.invars]
        results: Sequence[Any]
        if primitive.name in _CALLS:
            called, results = _flatten(step.params[_CALLS[primitive.name]], inputs, variables)
            equations += called
        elif all(isinstance(value, np.ndarray) for value in inputs):
            computed = primitive.bind(*inputs, **step.params)
            results = [np.asarray(array) for array in (computed if primitive.multiple_results else [computed])]
        else:
            results = [next(variables) for _ in step.outvars]
            shapes = [variable.aval.shape for variable in step.outvars]
            equations.append(Equation(primitive.name, step.params, inputs, results, shapes, uses=[]))
        values.update(zip(step.outvars, results, strict=True))
    return equations, [value_of(atom) for atom in program.jaxpr.outvars]
