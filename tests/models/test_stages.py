from __future__ import annotations

from typing import NamedTuple

import pytest

from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan


class Row(NamedTuple):
    channels: int
    blocks: int
    stride: int


ROWS = (Row(8, 1, 1), Row(16, 2, 2), Row(16, 1, 1), Row(32, 2, 2))


def block(_, in_channels, out_channels, **options):
    return in_channels, out_channels, options


def build(**options):
    plan = StridePlan(options.pop("output_stride", None), stride=2)
    return build_stages(split_where_striding(ROWS), 4, plan, block, **options)


def test_a_row_that_strides_begins_a_stage():
    assert split_where_striding(ROWS) == [[ROWS[0]], [ROWS[1], ROWS[2]], [ROWS[3]]]
    assert split_where_striding([Row(8, 1, 2), Row(8, 1, 2)]) == [[Row(8, 1, 2)], [Row(8, 1, 2)]]


def test_only_the_first_block_of_a_row_strides_and_channels_are_handed_on():
    stages, strides, channels = build()
    steps = [[(before, after, options["stride"]) for before, after, options in stage] for stage in stages]
    assert steps == [[(4, 8, 1)], [(8, 16, 2), (16, 16, 1), (16, 16, 1)], [(16, 32, 2), (32, 32, 1)]]
    assert (strides, channels) == ([2, 4, 8], 32)


def test_beyond_the_output_stride_blocks_after_the_first_are_dilated():
    stages, strides, _ = build(output_stride=4)
    assert [(options["stride"], options["dilation"]) for *_, options in stages[2]] == [(1, 1), (1, 2)]
    assert strides == [2, 4, 4]


def test_the_small_form_leaves_out_the_first_stride_of_the_table():
    stages, strides, _ = build(small_images=True)
    assert [stage[0][2]["stride"] for stage in stages] == [1, 1, 2]
    assert strides == [2, 2, 4]


def test_rates_grow_linearly_and_only_blocks_that_take_them_get_any():
    stages, *_ = build(drop_path=0.5)
    rates = [options["drop_path"] for stage in stages for *_, options in stage]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert all("drop_path" not in options for stage in build()[0] for *_, options in stage)


def test_channels_are_scaled():
    stages, _, channels = build(scale=lambda channels: channels // 2)
    assert [stage[-1][1] for stage in stages] == [4, 8, 16]
    assert channels == 16
