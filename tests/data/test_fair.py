from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo.data.dataset import ArraySplit
from zoo.data.fair import Subset, labels_of, sample, split


class Numbers:
    """Example i is i; its label is known beforehand."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        return {"image": index, "label": int(self.labels[index])}


SORTED_BY_CLASS = Numbers([0] * 100 + [1] * 40 + [2] * 10)


def numbers(source: Any) -> list[int]:
    return [source[index]["image"] for index in range(len(source))]


def sizes(source: Any) -> list[int]:
    return np.bincount(labels_of(source), minlength=3).tolist()


def test_a_sample_has_each_class_in_proportion() -> None:
    assert sizes(sample(SORTED_BY_CLASS, 15, seed=0)) == [10, 4, 1]
    assert sizes(sample(SORTED_BY_CLASS, 75, seed=0)) == [50, 20, 5]
    assert sizes(sample(SORTED_BY_CLASS, 3, seed=0)) == [1, 1, 1]
    assert numbers(sample(SORTED_BY_CLASS, 150, seed=0)) == list(range(150))


def test_a_sample_is_in_the_order_of_the_source_and_depends_on_the_seed() -> None:
    chosen = numbers(sample(SORTED_BY_CLASS, 15, seed=3))
    assert chosen == sorted(set(chosen)) == numbers(sample(SORTED_BY_CLASS, 15, seed=3))
    assert chosen != numbers(sample(SORTED_BY_CLASS, 15, seed=4))
    assert set(chosen) < set(numbers(sample(SORTED_BY_CLASS, 16, seed=3)))


def test_every_class_has_its_turn_where_there_are_more_classes_than_examples() -> None:
    of_all = Numbers(list(range(20)) * 5)
    drawn = [labels_of(sample(of_all, 4, seed)) for seed in range(40)]
    assert all(len(set(labels.tolist())) == 4 for labels in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(range(20))


def test_a_split_takes_the_share_of_each_class() -> None:
    train, test = split(SORTED_BY_CLASS, "abc", 0.2, seed=0)
    assert (sizes(train), sizes(test)) == ([80, 32, 8], [20, 8, 2])
    assert sorted(numbers(train) + numbers(test)) == list(range(150))
    assert numbers(test) == numbers(split(SORTED_BY_CLASS, "abc", 0.2, seed=0)[1])
    assert numbers(test) != numbers(split(SORTED_BY_CLASS, "abc", 0.2, seed=1)[1])
    for share in (0.001, 0.999):
        assert min(min(sizes(part)) for part in split(SORTED_BY_CLASS, "abc", share, seed=0)) == 1


def test_a_class_of_one_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="the class b has a single picture, which cannot be split"):
        split(Numbers([0, 0, 1]), "ab", 0.5, seed=0)


def test_parts_of_parts_know_their_labels() -> None:
    part = Subset(Subset(SORTED_BY_CLASS, np.array([0, 120, 145])), np.array([2, 1]))
    assert numbers(part) == [145, 120]
    assert labels_of(part).tolist() == [2, 1]
    assert labels_of([0]) is None


def test_a_sample_of_arrays_is_arrays() -> None:
    images = np.arange(8, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    drawn = sample(ArraySplit(images, np.arange(8, dtype=np.int32) // 4), 4, seed=0)
    assert isinstance(drawn, ArraySplit)
    assert drawn.labels.tolist() == [0, 0, 1, 1]
    assert (drawn.images[:, 0, 0, 0] // 4 == drawn.labels).all()


def test_masks_tell_no_class_of_an_example() -> None:
    masks = np.arange(20, dtype=np.uint8).repeat(16).reshape(20, 4, 4)
    split = ArraySplit(masks[..., None].repeat(3, 3), masks)
    assert labels_of(split) is None
    drawn = sample(split, 8, seed=0)
    assert isinstance(drawn, ArraySplit)
    assert drawn.labels.shape == (8, 4, 4)
    np.testing.assert_array_equal(drawn.images[..., 0], drawn.labels)


def test_without_labels_the_share_is_that_of_all() -> None:
    source = [{"image": number} for number in range(20)]
    train, test = split(source, "abc", 0.2, seed=0)
    assert (len(train), len(test)) == (16, 4)
    assert sorted(numbers(train) + numbers(test)) == list(range(20))
    assert numbers(test) == numbers(split(source, "abc", 0.2, seed=0)[1])
    assert numbers(test) != numbers(split(source, "abc", 0.2, seed=1)[1])
    with pytest.raises(ValueError, match="the data set has a single picture, which cannot be split"):
        split(source[:1], "abc", 0.2, seed=0)
