"""Parameters, multiply-accumulates and activations of any NNX model, by tracing it: nothing is executed or allocated.

The convention: multiply-accumulates (MACs) of convolutions and matrix products, for one image, each counted at its
full kernel (also where padding makes a product zero); biases, norms, activation functions, pooling and interpolation
are not counted. Activations are the numbers that convolutions and matrix products give, for one image (2003.13678,
section 3.3). Both belong to the innermost module in whose call they are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from zoo.ops import force_lowering
from zoo.ops.interpolation import INTERPOLATION

Path = tuple[Any, ...]
_SCOPE = "zoo_module:"


@dataclass
class Cost:
    """What a module costs, with all modules inside it.

    Attributes:
        path: where it is in the model, such as ("stages", 0, 1, "expand"); () for the model itself.
        kind: name of its class.
        parameters: learnable scalars.
        macs: multiply-accumulates for one image.
        activations: numbers that its convolutions and matrix products give for one image.
        output_shape: without the batch axis, of its last call; None if it was not called or gives no single array.
        children: the modules inside it.
    """

    path: Path
    kind: str
    parameters: int = 0
    macs: int = 0
    activations: int = 0
    output_shape: tuple[int, ...] | None = None
    children: list[Cost] = field(default_factory=list)


def count_parameters(model: nnx.Module) -> int:
    """Learnable scalars of a model, which may be an abstract one from `nnx.eval_shape`."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def count_macs(model: nnx.Module, image_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a model for one image, in evaluation mode; as `cost_tree`."""
    return cost_tree(model, image_shape).macs


def cost_tree(model: nnx.Module, image_shape: tuple[int, ...]) -> Cost:
    """What a model and each module in it cost, in evaluation mode; modules are in the order of their first calls.

    A module that is called twice has the MACs of both calls, and its parameters once.

    Args:
        model: maps (N, *image_shape) to anything; may be an abstract one from `nnx.eval_shape`.
        image_shape: without the batch axis, such as (224, 224, 3).
    """
    graph, state = nnx.split(nnx.view(model, deterministic=True, use_running_average=True, raise_if_not_found=False))
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    nodes: dict[Path, Cost] = {}  # in the order of their calls

    def run(state: Any, images: jax.Array) -> Any:
        copy = nnx.merge(graph, state, copy=True)
        with _calls_recorded(copy, nodes):
            return copy(images)

    with force_lowering("native"):
        traced = jax.make_jaxpr(run)(state, images)
    for path, module in _modules(model):
        nodes.setdefault(path, Cost(path, type(module).__name__))
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        nodes[_owner(path, nodes)].parameters += math.prod(variable.shape)
    called = list(nodes.values())
    for number, macs, activations in _products(traced.jaxpr, called.index(nodes[()])):
        called[number].macs += macs
        called[number].activations += activations
    return _tree(nodes)


@contextmanager
def _calls_recorded(model: nnx.Module, nodes: dict[Path, Cost]) -> Iterator[None]:
    """Within it, what a module computes is traced in a scope that has its number among the `nodes`."""
    paths = {id(module): path for path, module in _modules(model)}
    classes: set[Any] = {type(module) for _, module in _modules(model)}
    classes = {kind for kind in classes if hasattr(kind, "__call__")}  # noqa: B004  # a class can always be called
    inherited = {kind for kind in classes if "__call__" not in kind.__dict__}
    calls = {kind: kind.__call__ for kind in classes}

    def recorded(call: Callable[..., Any]) -> Callable[..., Any]:
        def call_recorded(module: nnx.Module, *arguments: Any, **options: Any) -> Any:
            path = paths.get(id(module))
            if path is None:
                return call(module, *arguments, **options)
            node = nodes.setdefault(path, Cost(path, type(module).__name__))
            with jax.named_scope(f"{_SCOPE}{list(nodes).index(path)}"):
                output = call(module, *arguments, **options)
            node.output_shape = output.shape[1:] if isinstance(output, jax.Array) else None
            return output

        return call_recorded

    try:
        for kind, call in calls.items():
            kind.__call__ = recorded(call)
        yield
    finally:
        for kind, call in calls.items():
            if kind in inherited:
                del kind.__call__
            else:
                kind.__call__ = call


def _modules(model: nnx.Module) -> list[tuple[Path, nnx.Module]]:
    return [(path, module) for path, module in nnx.iter_modules(model) if not isinstance(module, nnx.List)]


def _owner(path: Path, nodes: dict[Path, Cost]) -> Path:
    """The innermost module that a variable is in."""
    return next(path[:length] for length in range(len(path) - 1, -1, -1) if path[:length] in nodes)


def _tree(called: dict[Path, Cost]) -> Cost:
    """Sums up the nodes into those they are in; lists of modules become nodes of their own."""
    nodes: dict[Path, Cost] = {}
    for path, node in called.items():
        for length in range(len(path)):
            if path[:length] not in called:
                nodes.setdefault(path[:length], Cost(path[:length], "List"))
        nodes[path] = node
    for path, node in nodes.items():
        if path:
            nodes[path[:-1]].children.append(node)
    for path, node in sorted(nodes.items(), key=lambda entry: -len(entry[0])):
        if node.kind == "List":
            node.output_shape = node.children[-1].output_shape
        if path:
            parent = nodes[path[:-1]]
            parent.parameters += node.parameters
            parent.macs += node.macs
            parent.activations += node.activations
    return nodes[()]


def _products(jaxpr: Jaxpr, scope: int) -> Iterator[tuple[int, int, int]]:
    """(number of the module, MACs, activations) of every convolution and matrix product.

    `scope` is the number of the module that the whole is called in.
    """
    for equation in jaxpr.eqns:
        names = str(equation.source_info.name_stack).split("/")
        if INTERPOLATION in names:
            continue
        scopes = [name for name in names if name.startswith(_SCOPE)]
        inner = int(scopes[-1].removeprefix(_SCOPE)) if scopes else scope
        if equation.primitive.name == "conv_general_dilated":
            yield inner, _convolution_macs(equation), math.prod(_shape(equation.outvars[0]))
        elif equation.primitive.name == "dot_general":
            yield inner, _product_macs(equation), math.prod(_shape(equation.outvars[0]))
        else:
            repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            for jaxpr_inside in inner_jaxprs(equation.params.values()):
                for number, macs, activations in _products(jaxpr_inside, inner):
                    yield number, repeats * macs, repeats * activations


def _convolution_macs(equation: JaxprEqn) -> int:
    kernel, output = _shape(equation.invars[1]), _shape(equation.outvars[0])
    out_channels = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return math.prod(output) * math.prod(kernel) // out_channels


def _product_macs(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, output = _shape(equation.invars[0]), _shape(equation.outvars[0])
    return math.prod(output) * math.prod(left[axis] for axis in contracted)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def inner_jaxprs(values: Any) -> Iterator[Jaxpr]:
    """The programs among the parameters of an equation, such as the body of a loop."""
    for value in values:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from inner_jaxprs(value)
