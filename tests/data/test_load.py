from __future__ import annotations

import numpy as np
import pytest

from zoo.data import cifar10, image_folder
from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.load import load


def dataset(train, test) -> Dataset:
    return Dataset("stub", ("a", "b"), 4, train, test, (0.5,) * 3, (0.25,) * 3)


def split(count: int) -> ArraySplit:
    return ArraySplit(np.zeros((count, 4, 4, 3), np.uint8), np.arange(count, dtype=np.int32) % 2)


def test_shapes_are_generated_in_the_sizes_asked_for():
    loaded = load("shapes", train_examples=30, test_examples=20)
    assert (len(loaded.train), len(loaded.test)) == (30, 20)


def test_a_split_in_memory_is_cut_and_stays_in_memory(monkeypatch):
    monkeypatch.setattr(cifar10, "load", lambda directory: dataset(split(10), split(6)))
    loaded = load("cifar10", train_examples=4)
    assert isinstance(loaded.train, ArraySplit)
    assert (len(loaded.train), len(loaded.test)) == (4, 6)


def test_a_source_is_cut_without_being_read(monkeypatch, tmp_path):
    source = [{"image": None, "label": index} for index in range(10)]
    monkeypatch.setattr(image_folder, "load", lambda directory, image_size: dataset(source, source))
    loaded = load("image_folder", tmp_path, test_examples=3)
    assert loaded.train is source
    assert len(loaded.test) == 3
    assert loaded.test[2]["label"] == 2


def test_asking_for_more_than_there_is_is_refused(monkeypatch):
    monkeypatch.setattr(cifar10, "load", lambda directory: dataset(split(10), split(6)))
    with pytest.raises(ValueError, match="7 test examples asked for, but there are 6"):
        load("cifar10", test_examples=7)
