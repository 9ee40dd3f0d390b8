"""Folders of pictures: how fast they are decoded, and how fast a large one is found at the start of a run.

    uv run python benchmarks/decoding.py [--torch PYTHON] [--size 224] [--workers 2]

`PYTHON` is an interpreter with torch and torchvision; without it this one is tried. The pictures are JPEGs of 500x375
pixels, made from a seed. Ours is the stream of `train.py --data.name image_folder`, with worker processes and with
threads alone; torchvision's is an `ImageFolder` with `Resize` and `CenterCrop` in a `DataLoader` with as many workers.
Both give shuffled batches of uint8. All are timed in turn, each after its batches that were read ahead, and medians are
compared. A start is `zoo.data.image_folder.load` on many tiny files, with 2 % of them to test on: the first time, and
again from the index.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from peer import Table, Torch, find_torch, machine, medians
from PIL import Image

from zoo.data.image_folder import ImageFolder, load
from zoo.data.stream import stream

WIDTH, HEIGHT = 500, 375


@dataclass(frozen=True)
class Options:
    """Times the decoding and the finding of pictures in folders."""

    torch: str | None = None
    """A Python interpreter with torch and torchvision; None for this one, if it has them."""
    size: int = 224
    """Pixels a side to which pictures are resized."""
    workers: int = 2
    """Processes that decode."""
    batch: int = 64
    """Pictures in a batch."""
    pictures: int = 500
    """How many JPEGs are made."""
    batches: int = 32
    """Batches in each measurement; as many are read before it and not timed."""
    rounds: int = 7
    """How often each is timed."""
    files: int = 100_000
    """Files of the folder that is found; 0 to leave that out."""


def make_jpegs(directory: Path, count: int) -> None:
    """Pictures with detail of all sizes, about 80 kB each."""
    random = np.random.default_rng(0)
    for number in range(count):
        canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for side in (4, 16, 64, 256):
            noise = random.integers(0, 256, (side, side, 3), np.uint8)
            canvas += np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 4
        path = directory / f"class{number % 10}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas.astype(np.uint8)).save(path, quality=90)


def read(batches: Iterator[Any], count: int) -> float:
    """Seconds that so many batches take, after as many others."""
    for _ in range(count):
        next(batches)
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - started


def read_with_torch(torch: Torch, count: int) -> float:
    torch.time("torchvision", count=count)
    return torch.time("torchvision", count=count)


def time_decoding(directory: Path, options: Options, torch: Torch | None) -> None:
    folder = ImageFolder(directory, options.size)
    timers: dict[str, Callable[[], float]] = {}
    for name, workers in ((f"ours, {options.workers} workers", options.workers), ("ours, threads", 0)):
        batches = stream(folder, batch_size=options.batch, seed=0, num_workers=workers)
        timers[name] = partial(read, batches, options.batches)
    if torch is not None:
        what = {"directory": str(directory), "size": options.size, "batch": options.batch, "workers": options.workers}
        torch.build("torchvision", "decoding", **what)
        timers[f"torchvision, {options.workers} workers"] = partial(read_with_torch, torch, options.batches)
    taken = medians(timers, options.rounds)
    first = next(iter(taken.values()))
    table = Table("what", "images/s", "times ours")
    for name, seconds in taken.items():
        table.add(name, f"{options.batches * options.batch / seconds:.0f}", f"{first / seconds:.2f}")
    table.print()


def time_starts(directory: Path, options: Options) -> None:
    """The first start reads the directories themselves; the files are in the system's memory in both."""
    folders = max(1, options.files // 100)
    for number in range(options.files):
        path = directory / f"class{number % 10}" / f"{number % folders:04}" / f"{number:06}.jpg"
        if number < folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"tiny")
    for folder, _, _ in os.walk(directory):
        os.utime(folder, (0, 0))  # What changed within the last seconds would not be remembered.
    taken = []
    for _ in range(1 + options.rounds):
        started = time.perf_counter()
        dataset = load(directory, options.size, test_share=0.02)
        taken.append(time.perf_counter() - started)
        assert len(dataset.train) + len(dataset.test) == options.files
    table = Table(f"start with {options.files:,} files in {folders + 10:,} folders", "seconds")
    table.add("first", f"{taken[0]:.2f}")
    table.add("later, from the index", f"{statistics.median(taken[1:]):.2f}")
    table.print()


def main() -> None:
    options = tyro.cli(Options)
    torch = find_torch(options.torch)
    print(f"{machine(torch)}; JPEGs of {WIDTH}x{HEIGHT} to {options.size}x{options.size}, batch {options.batch}\n")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary) / "cache")
        make_jpegs(Path(temporary) / "jpegs", options.pictures)
        time_decoding(Path(temporary) / "jpegs", options, torch)
        if options.files:
            time_starts(Path(temporary) / "tiny", options)


if __name__ == "__main__":
    main()
