from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.models._width import scale_channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(32, 1.0, 32), (32, 0.75, 24), (24, 0.35, 8), (16, 0.35, 8), (96, 1.4, 136)]
)
def test_known_answers_of_the_reference_code(channels, width, expected):
    assert scale_channels(channels, width) == expected


@given(channels=st.integers(1, 2000), width=st.floats(0.05, 4))
def test_is_a_multiple_of_8_and_loses_at_most_a_tenth(channels, width):
    scaled = scale_channels(channels, width)
    assert scaled % 8 == 0
    assert scaled >= 8
    assert scaled >= 0.9 * channels * width


def test_a_width_of_0_is_refused():
    with pytest.raises(ValueError, match="width=0 must be positive"):
        scale_channels(32, 0)
