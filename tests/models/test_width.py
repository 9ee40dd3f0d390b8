from __future__ import annotations

import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo.analysis import cost_tree
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


@pytest.mark.parametrize(
    ("name", "width", "left"),
    [
        ("resnext29_32x4d", 0.125, r"0\.5 of 4 channels; it must be at least 0\.25"),
        ("resnext50_32x4d", 0.125, r"0\.5 of 4 channels"),
        ("resnet18", 0.005, r"0\.32 of 64 channels; it must be at least 0\.015625"),
        ("dilated_resnet", 0.01, r"0\.32 of 32 channels"),
        ("dilated_resnet", -1.0, r"-32 of 32 channels"),
    ],
)
def test_a_width_that_leaves_no_channel_is_refused(name, width, left):
    with pytest.raises(ValueError, match=rf"width={width} leaves {left}"):
        zoo.create_model(name, width=width)


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("vgg16", True),
        ("dilatednet", True),
        ("xception", True),
        ("drn_d_22", True),
        ("resnext29_8x64d", None),
        ("nin", None),
    ],
)
def test_multiplies_the_channels_of_all_stages(name, small):
    options = {} if small is None else {"small_images": small}
    whole, half = (
        nnx.eval_shape(lambda width=width: zoo.create_model(name, width=width, num_classes=10, **options))
        for width in (1.0, 0.5)
    )
    expected = {stage: scale_channels(channels, 0.5) for stage, channels in whole.feature_channels.items()}
    assert half.feature_channels == expected
    assert half.feature_strides == whole.feature_strides
    ratio = cost_tree(half, (32, 32, 3)).macs / cost_tree(whole, (32, 32, 3)).macs
    assert 0.2 < ratio < 0.35
