"""The parameters of the CRF: checked where they are made, and a pytree."""

from __future__ import annotations

import jax
import pytest

from zoo.crf import CRFParameters


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"appearance_weight": -1.0}, "appearance_weight must be 0 or more and finite, not -1.0"),
        ({"smoothness_weight": float("nan")}, "smoothness_weight must be 0 or more and finite, not nan"),
        ({"position_deviation": 0}, "position_deviation must be above 0 and finite, not 0"),
        ({"colour_deviation": -3.0}, "colour_deviation must be above 0 and finite, not -3.0"),
        ({"smoothness_deviation": float("inf")}, "smoothness_deviation must be above 0 and finite, not inf"),
        ({"iterations": -1}, "iterations must be 0 or more, not -1"),
        ({"window": 0}, "window must be a positive odd number of pixels, not 0"),
        ({"window": 8}, "window must be a positive odd number of pixels, not 8"),
    ],
)
def test_values_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CRFParameters(**wrong)


@pytest.mark.parametrize("name", ["iterations", "window"])
def test_whole_numbers_are_asked_for(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be an int.*, not 2.5"):
        CRFParameters(**{name: 2.5})


def test_numbers_are_leaves_but_what_shapes_the_program_is_not() -> None:
    assert jax.tree.leaves(CRFParameters(1.0, 2.0, 3.0, 4.0, 5.0, None, 6, 7)) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert jax.grad(lambda parameters: -parameters.appearance_weight)(CRFParameters()).appearance_weight == -1
