from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zoo.data import cifar10, tfds_source
from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.load import load


def dataset(train, test) -> Dataset:
    return Dataset("stub", ("a", "b"), 4, train, test, (0.5,) * 3, (0.25,) * 3)


def split(count: int) -> ArraySplit:
    return ArraySplit(np.zeros((count, 4, 4, 3), np.uint8), np.arange(count, dtype=np.int32) % 2)


@pytest.mark.parametrize(("name", "task"), [("shapes", "classification"), ("scenes", "segmentation")])
def test_what_is_drawn_is_of_the_sizes_asked_for(name, task):
    loaded = load(name, train_examples=30, test_examples=20)
    assert (loaded.name, loaded.task) == (name, task)
    assert (len(loaded.train), len(loaded.test)) == (30, 20)


def test_a_folder_of_masks_is_sampled_as_any_other(tmp_path):
    for number in range(10):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("L", (4, 4), number % 2).save(tmp_path / folder / f"{number}.png")
    loaded = load("mask_folder", tmp_path, image_size=8, test_share=0.5, train_examples=3)
    assert (loaded.task, len(loaded.train), len(loaded.test)) == ("segmentation", 3, 5)
    assert loaded.train[0]["label"].shape == (8, 8)
    assert loaded.note.endswith("3 of 5 training images are used, drawn regardless of class")


def test_a_sample_of_a_split_in_memory_stays_in_memory_and_is_told_of(monkeypatch):
    monkeypatch.setattr(cifar10, "load", lambda directory: dataset(split(10), split(6)))
    loaded = load("cifar10", train_examples=4)
    assert isinstance(loaded.train, ArraySplit)
    assert (len(loaded.train), len(loaded.test)) == (4, 6)
    assert sorted(loaded.train.labels) == [0, 0, 1, 1]
    assert loaded.note == "4 of 10 training images are used, drawn from all classes"


def test_a_sample_of_unknown_labels_is_drawn_without_being_read(monkeypatch):
    class Unread:
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int, /) -> dict[str, int]:
            return {"label": index}

    monkeypatch.setattr(tfds_source, "load", lambda name, directory: dataset(Unread(), Unread()))
    tests = [load("tfds/stub", test_examples=100, seed=seed).test for seed in (0, 0, 1)]
    drawn, again, other = ([test[index]["label"] for index in range(100)] for test in tests)
    assert drawn == again == sorted(set(drawn))
    assert drawn != other
    assert 30 < sum(label < 500 for label in drawn) < 70
    assert load("tfds/stub", test_examples=100).note == "100 of 1,000 test images are used, drawn regardless of class"


def test_asking_for_more_than_there_is_is_refused(monkeypatch):
    monkeypatch.setattr(cifar10, "load", lambda directory: dataset(split(10), split(6)))
    with pytest.raises(ValueError, match="7 test examples asked for, but there are 6"):
        load("cifar10", test_examples=7)
