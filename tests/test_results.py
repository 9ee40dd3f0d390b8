"""docs/results.md says what the runs say that are kept, and its commands are those that made them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zoo.training.command_line import parse
from zoo.training.config import flatten

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import cifar10_page  # noqa: E402
import cifar10_runs  # noqa: E402

RUNS = [run for group in ("table", "ingredients", "long", "again") for run in cifar10_runs.runs_of(group)]


def test_the_page_is_what_the_runs_say():
    page = cifar10_page.PAGE.read_text(encoding="utf-8")
    rows = cifar10_page.rows_of_table()
    assert rows
    written = page
    for name, lines in cifar10_page.sections(rows).items():
        written = cifar10_page.filled(written, name, lines)
    assert page == written, "uv run python benchmarks/cifar10.py write"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.directory.name)
def test_the_command_makes_the_config_of_the_run(run):
    seed = f" --seed {run.config.seed}" if run.config.seed else ""
    config = parse(["--config", str(ROOT / cifar10_runs.RECIPE), *(run.options + seed).split()], "train.py").config
    given, of_run = flatten(config), flatten(run.config)
    machine = ("name", "output", "data.directory", "compilation_cache")
    open_choices = {path for path, value in given.items() if value is None}  # that the run has made
    assert {path: value for path, value in given.items() if path not in open_choices and path not in machine} == {
        path: value for path, value in of_run.items() if path not in open_choices and path not in machine
    }


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.directory.name)
def test_a_run_was_finished_from_a_clean_checkout(run):
    assert run.history[-1].epoch == run.config.epochs
    assert run.environment["git"]["dirty"] is False
    assert run.config.data.directory is None
    assert run.config.output is None


def test_what_differs_from_the_recipe_stands_in_the_options():
    config = RUNS[0].config
    changed = replace(
        config,
        label_smoothing=0.2,
        model=replace(config.model, small_images=False),
        augment=replace(config.augment, flip=False),
        optimizer=replace(config.optimizer, schedule="constant"),
    )
    options = cifar10_runs.options_of(changed)
    assert options[0] == f"--model.name {config.model.name}"
    assert {
        "--label-smoothing 0.2",
        "--model.small-images False",
        "--augment.no-flip",
        "--optimizer.schedule constant",
    } <= set(options)
