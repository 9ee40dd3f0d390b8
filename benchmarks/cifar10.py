"""The trained nets of docs/results.md: from the directories of their runs to the page, its figure and the package.

    uv run python benchmarks/cifar10.py keep RUN... --of table      # what the page needs of finished runs
    uv run python benchmarks/cifar10.py time --directory DIR        # times steps of each net; on a quiet machine
    uv run python benchmarks/cifar10.py write                       # the page and its figure, from what was kept
    uv run python benchmarks/cifar10.py images FILE --directory DIR # CIFAR-10 for torch_train.py
    uv run python benchmarks/cifar10.py pack RUN                    # weights into the package, with their model card

The commands that made the runs stand in the page. What is kept of a run, in `benchmarks/results/cifar10/GROUP/NAME`,
is its config, its environment, what tells its data from other data, its figures, and the checksum of its weights. The
groups are `table`, `ingredients` (the recipe with one thing changed), `long`, `again` (runs repeated to the bit) and
`pytorch` (made by torch_train.py).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from cifar10_page import write_page
from cifar10_runs import KEPT, RECIPE, ROOT, Group, Run, grouped, options_of, runs_of
from peer import find_torch, machine, medians

from zoo.cli.format import count
from zoo.data import cifar10
from zoo.data.dataset import ArraySplit
from zoo.training.config import TrainConfig, of_run, to_dict
from zoo.training.experiment import build
from zoo.training.feed import ResidentFeed
from zoo.training.huge_pages import restart_with_huge_pages
from zoo.training.run_directory import describe_environment
from zoo.weights import packaged

_COPIED = ("environment.json", "data.json", "metrics.jsonl")
_WEIGHTS = ("weights.safetensors", "weights.pth")  # of a finished run here, and in PyTorch
_PARTS = 10  # of the steps that are timed: their median counts


def keep(runs: Annotated[tuple[Path, ...], tyro.conf.Positional], of: Group) -> None:
    """Keeps what the page needs of finished runs.

    Args:
        runs: their directories.
        of: what they belong to.
    """
    for directory in runs:
        config = of_run(directory)
        weights = next((path for path in (directory / name for name in _WEIGHTS) if path.is_file()), None)
        if weights is None:
            raise SystemExit(f"{directory} is not finished")
        _require_same_data(directory)
        kept = KEPT / of / "-".join([config.model.name, *_told_apart(config), f"seed{config.seed}"])
        kept.mkdir(parents=True, exist_ok=True)
        own = to_dict(config) | {"output": None}
        own["data"]["directory"] = None
        (kept / "config.json").write_text(json.dumps(own, indent=2) + "\n")
        for name in _COPIED:
            shutil.copy(directory / name, kept / name)
        (kept / "weights.sha256").write_text(_sha256(weights) + "\n")
        print(f"{kept.relative_to(ROOT)}: {Run(kept).accuracy:.2%}")


def _told_apart(config: TrainConfig) -> list[str]:
    """What distinguishes the run from the recipe, as a part of a file's name."""
    options = options_of(replace(config, seed=0))[1:]
    return [re.sub(r"[^a-z0-9.]+", "-", option.removeprefix("--")) for option in options]


def _require_same_data(directory: Path) -> None:
    """Raises SystemExit if a run saw other images than those that are kept."""
    seen = json.loads((directory / "data.json").read_text())
    for path in sorted(KEPT.glob("*/*/data.json")):
        if json.loads(path.read_text()) != seen:
            raise SystemExit(f"{directory} was trained on other data than {path.parent}")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def time_steps(directory: Path, torch: str | None = None, steps: int = 100) -> None:
    """Times the training steps of the nets in the table, as the runs made them, on this machine.

    PyTorch's are steps over one batch, without what it takes to make batches.

    Args:
        directory: of CIFAR-10, as `train.py --data.directory` takes it.
        torch: an interpreter that has torch, to time the nets of the group `pytorch` there as well, in turn.
        steps: of each net.
    """
    restart_with_huge_pages()
    peer = find_torch(torch) if torch is not None else None
    there = grouped(runs_of("pytorch")) if peer is not None else {}
    measured: dict[str, dict[str, float]] = {}
    part = steps // _PARTS
    for options, runs in grouped(runs_of("table")).items():
        timers: dict[str, Callable[[], float]] = {"zoo": Steps(runs[0].config, directory, part).seconds}
        if peer is not None and options in there:
            net, batch = runs[0].config.model.name, runs[0].config.batch_size
            peer.build(net, "training", net=net, size=32, batch=batch, dtype="float32", compiled=False)
            timers["pytorch"] = partial(peer.time, net, count=part)
        measured[options] = {name: taken / part for name, taken in medians(timers, _PARTS).items()}
        print(options, *(f"{name} {1000 * value:.1f} ms a step" for name, value in measured[options].items()))
    content = {"machine": machine(peer), "environment": describe_environment(), "seconds_per_step": measured}
    (KEPT / "speed.json").write_text(json.dumps(content, indent=2) + "\n")


class Steps:
    """The training loop of a run, to be timed.

    Args:
        config: of the run.
        directory: of its data.
        count: steps at a time.
    """

    def __init__(self, config: TrainConfig, directory: Path, count: int) -> None:
        experiment = build(replace(config, data=replace(config.data, directory=directory)))
        assert isinstance(experiment.dataset.train, ArraySplit)
        self._state = experiment.trainer.place(experiment.state)
        self._feed = ResidentFeed(experiment.trainer, experiment.dataset.train, self._state)
        self._count = count

    def seconds(self) -> float:
        started = time.perf_counter()
        self._state = self._feed.advance(self._state, self._count)
        int(self._state.step)  # waits for the device
        return time.perf_counter() - started


def images(file: Annotated[Path, tyro.conf.Positional], directory: Path) -> None:
    """Writes CIFAR-10 for torch_train.py, as it is read here: images, labels, mean and deviation.

    Args:
        file: an NPZ file.
        directory: of CIFAR-10, as `train.py --data.directory` takes it.
    """
    dataset = cifar10.load(directory)
    train, test = dataset.train, dataset.test
    assert isinstance(train, ArraySplit)
    assert isinstance(test, ArraySplit)
    np.savez(
        file,
        train_images=train.images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
        mean=np.asarray(dataset.mean, np.float32),
        std=np.asarray(dataset.std, np.float32),
    )


def pack(run: Annotated[Path, tyro.conf.Positional], data: str = "cifar10") -> None:
    """Puts the weights of a run into the package, with their model card.

    Args:
        run: its directory; it must have been kept as a run of the table or a long one.
        data: what it was trained on, the second part of the weights' name.
    """
    config = of_run(run)
    digest = _sha256(run / "weights.safetensors")
    kept = next((one for one in (*runs_of("table"), *runs_of("long")) if one.weights_sha256 == digest), None)
    if kept is None:
        raise SystemExit(f"{run} is not kept, so that its figures stand nowhere")
    packaged.DIRECTORY.mkdir(exist_ok=True)
    name = f"{config.model.name}.{data}"
    shutil.copy(run / "weights.safetensors", packaged.DIRECTORY / f"{name}.safetensors")
    (packaged.DIRECTORY / f"{name}.md").write_text("\n".join(card(name, kept)) + "\n", encoding="utf-8")
    print(f"{packaged.DIRECTORY.relative_to(ROOT)}/{name}.safetensors")


def card(name: str, run: Run) -> list[str]:
    """The model card of packaged weights."""
    parameters, macs = run.cost
    environment = run.environment
    seed = f" --seed {run.config.seed}" if run.config.seed else ""
    return [
        f"# zoo/{name}",
        "",
        f"- Net: {run.config.model.name}, its form for images of 32×32 pixels; {parameters:,} parameters, "
        f"{count(macs)} MACs an image.",
        "- Data: the 50,000 training images of CIFAR-10, as JPEG copies of quality 75.",
        f"- Test accuracy: {run.accuracy:.2%} after the last epoch, on the 10,000 test images, JPEG copies as well. On",
        "  the original images it may differ in the digits after the point.",
        f"- Command: `uv run train.py --config {RECIPE} {run.options}{seed}`",
        f"- Made with: JAX {environment['jax']}, Flax {environment['flax']}, Python {environment['python']}, "
        f"{environment['cpu_count']} CPU cores.",
        f"- SHA-256 of the weights: {run.weights_sha256}.",
        "- Limits: it tells ten classes of small photographs apart, and takes any other picture for one of them. It is",
        "  a start for experiments and a check that an installation works, not a classifier to rely on.",
        "- Licence: the weights are under the licence of this project, Apache-2.0. CIFAR-10 (Krizhevsky 2009) comes",
        "  without a licence; the rights in its images, collected from the web, are those of the photographers.",
    ]


if __name__ == "__main__":
    sys.exit(
        tyro.extras.subcommand_cli_from_dict(
            {"keep": keep, "time": time_steps, "write": write_page, "images": images, "pack": pack}, description=__doc__
        )
    )
