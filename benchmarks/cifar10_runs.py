"""What is kept of the runs behind docs/results.md, and the commands that made them."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from flax import nnx

import zoo
from zoo.analysis import cost_tree
from zoo.registry import model_options
from zoo.training import metrics
from zoo.training.config import TrainConfig, flatten, of_run

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "cifar10"
RECIPE = "configs/cifar10_short.py"

Group = Literal["table", "ingredients", "long", "again", "pytorch"]
_OF_A_MACHINE = ("name", "output", "data.directory", "compilation_cache")  # fields that change no figure


@dataclass(frozen=True)
class Run:
    """A run, as far as it is kept.

    Attributes:
        directory: where it lies.
    """

    directory: Path

    @cached_property
    def config(self) -> TrainConfig:
        return of_run(self.directory)

    @cached_property
    def history(self) -> list[metrics.EpochMetrics]:
        return metrics.read(self.directory)

    @cached_property
    def environment(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "environment.json").read_text())
        return content

    @property
    def weights_sha256(self) -> str:
        return (self.directory / "weights.sha256").read_text().strip()

    @property
    def accuracy(self) -> float:
        """From 0 to 1, on the test set after the last epoch. The best epoch would be chosen on the test set."""
        return self.history[-1].test_accuracy

    @cached_property
    def options(self) -> str:
        """What the command line has that made the run, but for its seed, after the recipe and the directories."""
        return " ".join(options_of(replace(self.config, seed=0)))

    @cached_property
    def cost(self) -> tuple[int, int]:
        """Parameters, and MACs of one image."""
        model = self.config.model
        usual = model_options(model.name)
        options: dict[str, Any] = {
            name: getattr(model, name) for name in ("width", "small_images", "num_classes") if name in usual
        }
        tree = cost_tree(nnx.eval_shape(partial(zoo.create_model, model.name, **options)), (32, 32, 3))
        return tree.parameters, tree.macs


def options_of(config: TrainConfig) -> list[str]:
    """The options with which `train.py --config configs/cifar10_short.py` makes a config, but for directories."""
    recipe: TrainConfig = runpy.run_path(str(ROOT / RECIPE))["get_config"]()
    expected = flatten(replace(recipe, model=replace(recipe.model, name=config.model.name)))
    usual = model_options(config.model.name)
    usual |= {"num_classes": 10} | ({"small_images": True} if "small_images" in usual else {})
    options = [f"--model.name {config.model.name}"]
    for path, value in flatten(config).items():
        was = expected[path]
        section, _, name = path.rpartition(".")
        if was is None and section == "model":
            was = usual.get(name)
        if path in _OF_A_MACHINE or (value == was and path != "epochs") or value is None:
            continue
        flag = f"--{path}".replace("_", "-")
        if isinstance(value, bool) and expected[path] is not None:
            options.append(flag if value else f"--{section}.no-{name}".replace("_", "-"))
        else:
            options.append(f"{flag} {value}")
    return options


def runs_of(group: Group) -> list[Run]:
    return [Run(path.parent) for path in sorted(KEPT.glob(f"{group}/*/config.json"))]


def grouped(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs that differ in nothing but their seeds, in the order of these, under the options that they share."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.options, []).append(run)
    for same in groups.values():
        same.sort(key=lambda run: run.config.seed)
    return groups
