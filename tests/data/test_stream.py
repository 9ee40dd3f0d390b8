from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.data.dataset import ArraySplit
from zoo.data.image_folder import ImageFolder
from zoo.data.stream import batches, stream
from zoo.pictures import UnreadablePictureError


class Numbers:
    """Example i is an image of two pixels' width filled with i, labelled i. Remembers what was read."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        self.read.append(index)
        return {"image": np.full((2, 2, 3), index, np.uint8), "label": index}


def labels(source: Any, steps: int, **arguments: Any) -> list[list[int]]:
    return [batch.tolist() for _, batch in islice(stream(source, **arguments), steps)]


def test_batches_of_the_promised_types() -> None:
    images, numbers = next(stream(Numbers(10), batch_size=4, seed=0))
    assert images.dtype == np.uint8
    assert images.shape == (4, 2, 2, 3)
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(images[:, 0, 0, 0], numbers)


def test_an_epoch_has_no_example_twice_and_drops_the_remainder() -> None:
    epochs = np.array(labels(Numbers(11), 12, batch_size=4, seed=3)).reshape(6, 8)
    assert all(len(set(epoch)) == 8 for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 6  # another order in each epoch
    assert set(epochs.flat) == set(range(11))  # other examples left over in each epoch


def test_starting_late_gives_the_batches_of_an_uninterrupted_stream() -> None:
    steps = 9  # of 3 an epoch
    whole = labels(Numbers(10), steps, batch_size=3, seed=7)
    assert labels(Numbers(10), steps, batch_size=3, seed=7) == whole
    for start in range(steps):
        assert labels(Numbers(10), steps - start, batch_size=3, seed=7, start_step=start) == whole[start:]


def test_starting_late_reads_nothing_of_what_it_skips() -> None:
    source = Numbers(200)
    next(stream(source, batch_size=10, seed=0, start_step=1_000_000))
    assert len(source.read) <= 100  # the batch itself and a few that are read ahead


def test_seeds_give_unrelated_orders() -> None:
    first, second = (labels(Numbers(20), 4, batch_size=10, seed=seed) for seed in (0, 1))
    assert not {tuple(batch) for batch in first} & {tuple(batch) for batch in second}


def test_worker_processes_give_the_same_batches_and_errors(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for number in range(10):
        Image.new("RGB", (1, 1), (number, 0, 0)).save(tmp_path / "c" / f"{number}.png")
    (tmp_path / "c" / "7.png").write_bytes(b"")
    source = ImageFolder(tmp_path, 1)

    def read(workers: int) -> tuple[list[list[int]], str]:
        arrived: list[list[int]] = []
        reader = stream(source, batch_size=2, seed=2, start_step=1, num_workers=workers)
        with pytest.raises(UnreadablePictureError) as caught:
            arrived.extend(images[:, 0, 0, 0].tolist() for images, _ in reader)
        return arrived, str(caught.value)

    in_threads, message = read(0)
    assert message.startswith(f"cannot read the picture {tmp_path}/c/7.png: Pillow knows no such format")
    assert len(in_threads) >= 2
    assert read(2) == (in_threads, message)


def test_sizes_that_differ_are_named() -> None:
    source = [{"image": np.zeros((size, size, 3), np.uint8), "label": 0} for size in (4, 5)]
    with pytest.raises(ValueError, match=r"one size, not \(4, 4, 3\), \(5, 5, 3\)"):
        next(stream(source, batch_size=2, seed=0))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_masks_are_stacked_as_they_are(workers: int) -> None:
    masks = np.random.default_rng(0).integers(0, 256, (3, 4, 6), np.uint8)
    source = ArraySplit(masks[..., None].repeat(3, -1), masks)
    images, labels = next(stream(source, batch_size=3, seed=0, num_workers=workers))
    assert (labels.dtype, labels.shape) == (np.uint8, (3, 4, 6))
    np.testing.assert_array_equal(images[..., 0], labels)
    (_, in_order) = next(batches(source, 2))
    np.testing.assert_array_equal(in_order, masks[:2])


@pytest.mark.parametrize("mask", [np.zeros((6, 4), np.uint8), np.zeros((4, 6), np.int32), np.zeros(24, np.uint8)])
def test_a_mask_that_is_not_its_images_is_refused(mask: np.ndarray) -> None:
    source = [{"image": np.zeros((4, 6, 3), np.uint8), "label": mask}]
    with pytest.raises(ValueError, match=r"a mask must be uint8 of its image's size, \(4, 6\), not "):
        next(batches(source, 1))


def test_an_error_of_the_source_arrives() -> None:
    class Broken(Numbers):
        def __getitem__(self, index: int, /) -> dict[str, Any]:
            raise OSError(f"cannot read {index}")

    with pytest.raises(OSError, match="cannot read 0"):
        next(batches(Broken(3), 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be from 1 .*, 10, not 0"),
        ({"batch_size": 11}, "batch_size must be from 1 .*, 10, not 11"),
        ({"seed": -1}, "seed .* not -1"),
        ({"seed": 2**32}, "seed .* not 4294967296"),
        ({"start_step": -1}, "start_step .* -1"),
        ({"num_workers": -1}, "num_workers .* -1"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stream(Numbers(10), **{"batch_size": 2, "seed": 0, **arguments})


def test_the_shares_of_several_readers_are_the_batches_and_each_reads_its_own_alone() -> None:
    whole = labels(Numbers(20), 6, batch_size=6, seed=1)
    sources = Numbers(20), Numbers(20)
    parts = [labels(source, 6, batch_size=6, seed=1, share=slice(3 * number, 3 * number + 3))
             for number, source in enumerate(sources)]  # fmt: skip
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    epoch = np.ravel([part[:3] for part in parts]).tolist()
    assert len(set(epoch)) == len(epoch) == 18
    assert all(len(source.read) <= 3 * 16 for source in sources)  # 6 batches, and those that are read ahead
    passed = zip(batches(Numbers(5), 4, slice(0, 2)), batches(Numbers(5), 4, slice(2, 4)), strict=True)
    assert [[*first[1], *second[1]] for first, second in passed] == [[0, 1, 2, 3], [4, 0, 1, 2]]


def test_one_pass_in_order() -> None:
    passed = list(batches(Numbers(10), 4))
    assert [numbers.tolist() for _, numbers in passed] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert [images.shape for images, _ in passed] == [(4, 2, 2, 3)] * 3
    assert list(batches(Numbers(0), 4)) == []
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        batches(Numbers(10), 0)


@pytest.mark.slow
def test_workers_say_nothing_of_ctrl_c_nor_of_a_program_that_ends_in_the_middle_of_an_epoch() -> None:
    code = """
import os, signal
import numpy as np
from zoo.data.stream import stream
source = [{"image": np.zeros((8, 8, 3), np.uint8), "label": 0}] * 16
held = stream(source, batch_size=2, seed=0, num_workers=2)
next(held), next(held)
signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
os.killpg(0, signal.SIGINT)
for _ in range(40):
    next(held)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, start_new_session=True, timeout=300
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "interrupted\n", "")
