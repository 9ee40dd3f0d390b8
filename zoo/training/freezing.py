"""Which parameters of a model training leaves as they are."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from flax import nnx

from zoo.models._net import Net
from zoo.suggestions import nearest

BODY = "body"  # stands for all patterns of what is not the head

IsFrozen = Callable[[Sequence[Any], Any], bool]  # of a variable's path and value, a filter of NNX


def freeze(model: nnx.Module, patterns: Sequence[str]) -> IsFrozen:
    """Finds what is frozen, and has the batch norms among it normalise by their running statistics from now on.

    A pattern is that of a shell. It means the parameters whose path it matches, such as "stages.0.*.kernel", and all of
    the modules whose path it matches, such as "stem"; "body" means all parameters but those of the head.

    Args:
        model: in training mode.
        patterns: of what is to be frozen.

    Returns:
        A filter for `nnx.split`: which variables stay as they are, the statistics of frozen batch norms among them.

    Raises:
        ValueError: for a pattern that matches nothing, with the nearest path, if nothing remains to be trained, or for
            "body" if the model does not say what its head is.
    """
    parameters = _parameters(model)
    frozen = matching(model, patterns, "freeze")
    if frozen.issuperset(parameters):
        raise ValueError(f"optimizer.freeze={tuple(patterns)} leaves no parameter to train")
    for path, module in nnx.iter_modules(model):
        if isinstance(module, nnx.BatchNorm):
            variables = [_dotted((*path, *rest)) for rest, _ in nnx.to_flat_state(nnx.state(module))]
            own = set(variables).intersection(parameters)
            if own and frozen.issuperset(own):
                module.eval()
                frozen.update(variables)
    return lambda path, _: _dotted(path) in frozen


def matching(model: nnx.Module, patterns: Iterable[str], option: str) -> set[str]:
    """The dotted paths of the parameters that the patterns of `optimizer.OPTION` mean, as `freeze` says.

    Raises:
        ValueError: for a pattern that matches nothing, with the nearest path, or for "body" if the model does not say
            what its head is.
    """
    parameters = _parameters(model)
    all_found: set[str] = set()
    for pattern in patterns:
        means = is_of_body(model) if pattern == BODY else partial(_matches, pattern)
        found = set(filter(means, parameters))
        if not found:
            known = sorted({path for parameter in parameters for path in _leading_to(parameter)})
            raise ValueError(f"optimizer.{option}: {pattern!r} is no parameter of the model; {nearest(pattern, known)}")
        all_found |= found
    return all_found


def is_of_body(model: nnx.Module | None) -> Callable[[str], bool]:
    """Whether the parameter at a path belongs to anything but the head.

    Raises:
        ValueError: if the model does not say what its head is.
    """
    if not isinstance(model, Net):
        raise ValueError(
            f"{type(model).__name__} is neither a zoo.ImageClassifier nor a zoo.Segmenter, so that nothing tells its "
            "head from its body"
        )
    head = tuple(f"{part}." for part in model.parts_of_head())
    return lambda path: not path.startswith(head)


def _parameters(model: nnx.Module) -> list[str]:
    return [_dotted(path) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]


def _matches(pattern: str, parameter: str) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for path in _leading_to(parameter))


def _leading_to(parameter: str) -> list[str]:
    """The paths of the modules that a parameter is in, and its own."""
    parts = parameter.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _dotted(path: Iterable[Any]) -> str:
    return ".".join(map(str, path))
