from __future__ import annotations

from zoo.palette import palette


def test_the_first_colours_are_those_of_pascal_voc_and_all_differ():
    colours = palette()
    assert colours[[0, 1, 2, 3, 8, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [64, 0, 0], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    assert len({tuple(colour) for colour in colours.tolist()}) == 256
