"""What the site is made with: the drawings, and the hooks that fill in its pages."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

import zoo
from docs import drawings, hooks
from zoo.blocks import Conv, ConvTranspose, DepthwiseConv, GroupedConv, PointwiseConv
from zoo.ops import channel_shuffle

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]


def blocks_on_the_diagonal(groups: int, size: int) -> np.ndarray:
    return np.kron(np.eye(groups), np.ones((size, size))).astype(bool)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (PointwiseConv(6, 6, rngs=nnx.Rngs(0)), np.ones((6, 6), bool)),
        (DepthwiseConv(6, rngs=nnx.Rngs(0)), np.eye(6, dtype=bool)),
        (GroupedConv(6, 6, groups=2, rngs=nnx.Rngs(0)), blocks_on_the_diagonal(2, 3)),
        (partial(channel_shuffle, groups=2), np.eye(6, dtype=bool)[[0, 3, 1, 4, 2, 5]]),
    ],
    ids=["pointwise", "depthwise", "grouped", "shuffle"],
)
def test_channels_are_connected_as_the_layer_connects_them(layer, expected):
    np.testing.assert_array_equal(drawings.connections(layer, (1, 1, 6), 2), expected)


def test_pixels_are_seen_through_the_taps_of_a_dilated_kernel():
    seen = drawings.pixels(Conv(1, 1, dilation=3, rngs=nnx.Rngs(0)), 9)
    expected = np.zeros((9, 9), bool)
    expected[1::3, 1::3] = True
    np.testing.assert_array_equal(seen, expected)


def test_a_transposed_kernel_of_3_gives_neighbours_unequally_many_inputs():
    rows = drawings.connections(ConvTranspose(1, 1, 3, rngs=nnx.Rngs(0)), (5, 5, 1), 0)
    np.testing.assert_array_equal(rows.sum(1), [1, 2, 1, 2, 1, 2, 1, 2, 1])


def test_a_drawing_shows_every_connection(tmp_path):
    chain = drawings.Chain("a title", {"a layer": GroupedConv(4, 4, groups=2, rngs=nnx.Rngs(0))}, 4)
    drawings.draw_panels(tmp_path / "a.svg", [chain])
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert ">a title<" in text
    assert ">a layer<" in text
    lines = re.findall(r'<path d="(M [^"]*)" clip-path', text)
    assert sorted(line.count("M") for line in lines) == [2, 6]  # of the traced output, and of the three others


def test_every_drawing_is_there_and_on_its_page():
    names = set(drawings.panels_of_all_drawings())
    assert {path.stem for path in (DOCS / "convolutions").glob("*.svg")} == names
    for name in names:
        assert f"]({name}.svg)" in (DOCS / "convolutions" / f"{name}.md").read_text("utf-8")


def test_the_tables_have_every_model_once():
    assert hooks.TABLES in (DOCS / "models.md").read_text("utf-8")
    tables = hooks.model_tables()
    assert sorted(re.findall(r"^\| `(\w+)` \|", tables, flags=re.M)) == zoo.list_models()
    row = "| `mobilenet_v2` | 3,504,872 | 300.0 M | 224 | 72.0 % | [1801.04381](https://arxiv.org/abs/1801.04381) |"
    assert row in tables.splitlines()


def test_links_out_of_the_docs_become_words():
    text = (
        "[`a`](../../zoo/ops/lowering/dense.py#x), [b](../models.md#the-families), ![c](../report.png), [d](grouped.md)"
    )
    shown = hooks.without_links_out(text, "convolutions/dilated.md")
    assert shown == text.replace("[`a`](../../zoo/ops/lowering/dense.py#x)", "`a`")


def test_a_link_to_no_file_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"docs/index.md links to zoo/none.py, which does not exist"):
        hooks.without_links_out("[a](../zoo/none.py)", "index.md")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page):
    text = hooks.without_links_out((DOCS / page).read_text("utf-8"), page)
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert ((DOCS / page).parent / target).exists()
