"""What the header of a file says about its weights, checked in one place before anything relies on it."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from zoo.registry import check_options, list_models
from zoo.type_hints import is_finite
from zoo.weights.numerics import Numerics

_OF_THE_COMPUTATION = ("dtype", "param_dtype")
LARGEST_IMAGE = 4096  # pixels a side; whatever is said to be larger would ask for gigabytes


def check_description(description: Any, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The description of the weights in a file, if all of it has the form that a training run writes.

    Args:
        description: from JSON. `model` is a name; `options` are those of that model; `class_names` are texts;
            `image_size` and `resize_size` are in pixels, `interpolation` is that of the resizing; `mean` and `std` are
            of three channels; `numerics` are the fields of `Numerics`. All of them may be missing, but not `mean` or
            `std` if there is an `image_size`. Other keys are anything.
        path: of the file, for the message.

    Raises:
        ValueError: naming the file and the value.
    """
    require(isinstance(description, dict), path, "the description", description, "a mapping")
    for key, (holds, should) in _SCHEMA.items():
        if key in description:
            require(holds(description[key]), path, key, description[key], should)
    if "image_size" in description:
        for key in ("mean", "std"):
            require(key in description, path, key, None, "given with an image_size")
    model, options = description.get("model"), description.get("options", {})
    for option in _OF_THE_COMPUTATION:
        require(
            option not in options, path, f"option {option}", options.get(option), "left to whoever loads the weights"
        )
    if model in list_models():
        try:
            check_options(model, options)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return description


def require(holds: bool, path: str | os.PathLike[str], name: str, value: Any, should: str) -> None:
    """Raises a ValueError in one line if what a file says is not what it should be."""
    if not holds:
        raise ValueError(f"{path}: {name} is {reprlib.repr(value)}, but must be {should}")


def is_size(value: Any) -> bool:
    """Whether it is a height or width of images."""
    return type(value) is int and 1 <= value <= LARGEST_IMAGE


def is_interpolation(value: Any) -> bool:
    """Whether it is a way of resizing that `Preprocessing` knows."""
    return value in ("bilinear", "bicubic")


def is_three_numbers(value: Any) -> bool:
    """Whether it is a number for each channel."""
    return isinstance(value, list) and len(value) == 3 and all(is_finite(number) for number in value)


def is_three_positive_numbers(value: Any) -> bool:
    """Whether it is a number above 0 for each channel."""
    return is_three_numbers(value) and min(value) > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_numerics(value: Any) -> bool:
    if not isinstance(value, dict) or not value.keys() <= {field.name for field in fields(Numerics)}:
        return False
    epsilon = value.get("epsilon")
    return (
        (epsilon is None or (is_finite(epsilon) and epsilon >= 0))
        and isinstance(value.get("tensorflow_padding", False), bool)
        and isinstance(value.get("dilates_first"), bool | None)
    )


_SCHEMA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (_is_text, "a text"),
    "options": (_is_mapping, "a mapping from options to values"),
    "class_names": (_is_texts, "a list of texts"),
    "image_size": (is_size, f"a whole number from 1 to {LARGEST_IMAGE}"),
    "resize_size": (is_size, f"a whole number from 1 to {LARGEST_IMAGE}"),
    "interpolation": (is_interpolation, "bilinear or bicubic"),
    "mean": (is_three_numbers, "three numbers"),
    "std": (is_three_positive_numbers, "three numbers above 0"),
    "numerics": (
        _is_numerics,
        "a mapping with epsilon, a number or null, tensorflow_padding, true or false, and dilates_first, that or null",
    ),
}
