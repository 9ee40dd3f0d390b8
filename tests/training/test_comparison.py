from __future__ import annotations

import json

import pytest
from PIL import Image

from zoo.cli import main
from zoo.training.comparison import compare_runs
from zoo.training.config import OptimizerConfig, TrainConfig, to_dict


@pytest.fixture
def runs(tmp_path):
    """Three runs: one of two epochs, one of one, and one that has just begun."""
    for number, (rate, seed, losses) in enumerate([(0.1, 0, (2.0, 1.0)), (0.1, 3, (1.5,)), (0.2, 0, ())]):
        run = tmp_path / f"run{number}"
        run.mkdir()
        config = TrainConfig(name=run.name, output=run, seed=seed, optimizer=OptimizerConfig(learning_rate=rate))
        (run / "config.json").write_text(json.dumps(to_dict(config)))
        lines = [
            {"step": 10 * epoch, "epoch": epoch, "learning_rate": 0.1, "train_loss": loss, "train_accuracy": 0.5,
             "test_loss": loss, "test_accuracy": 1 - loss / 4, "images_per_second": 100.0, "seconds": 30.0}
            for epoch, loss in enumerate(losses, start=1)
        ]  # fmt: skip
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [tmp_path / f"run{number}" for number in range(3)]


def test_what_differs_and_what_came_of_it(runs):
    comparison = compare_runs(runs)
    assert comparison.names == ("run0", "run1", "run2")
    assert comparison.differences == {"optimizer.learning_rate": (0.1, 0.1, 0.2), "seed": (0, 3, 0)}
    assert comparison.results["epochs done"] == ("2", "1", "0")
    assert comparison.results["test accuracy"] == ("75.00%", "62.50%", "–")
    assert comparison.results["best accuracy"][0] == "75.00% (2)"
    assert comparison.results["training time"] == ("60 s", "30 s", "–")


def test_runs_of_the_same_name_are_told_apart_by_their_folders(runs, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = runs[0].rename(tmp_path / "a" / "run"), runs[1].rename(tmp_path / "b" / "run")
    assert compare_runs([first, second]).names == ("a/run", "b/run")


def test_the_command_prints_a_table_and_draws_the_curves(runs, tmp_path, capsys):
    assert main(["compare", *map(str, runs), "--picture", str(tmp_path / "curves.png")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["run0", "run1", "run2"] in rows
    assert ["optimizer.learning_rate", "0.1", "0.1", "0.2"] in rows
    assert ["test", "accuracy", "75.00%", "62.50%", "–"] in rows
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (2100, 750)


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_no_run_is_one_line(runs, tmp_path, capsys, count):
    assert main(["compare", *[str(tmp_path)] * count]) == 2
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert ("is not the directory of a run" if count == 2 else "two runs or more") in written
