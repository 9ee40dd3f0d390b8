"""The tables and the figure of docs/results.md, from the runs that are kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cifar10_runs import KEPT, RECIPE, ROOT, Run, grouped, options_of, runs_of
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from peer import Table

from zoo.cli.format import count
from zoo.registry import model_options
from zoo.training.config import TrainConfig
from zoo.training.drawing import drawing

PAGE = ROOT / "docs" / "results.md"
FIGURE = ROOT / "docs" / "results.png"
_PLACES: tuple[dict[str, Any], ...] = (  # of a point's name, beside the point
    {"xytext": (7, 0), "ha": "left", "va": "center"},
    {"xytext": (-7, 0), "ha": "right", "va": "center"},
    {"xytext": (0, 6), "ha": "center", "va": "bottom"},
    {"xytext": (0, -6), "ha": "center", "va": "top"},
)
_TICKS = (5, 10, 20, 50, 100, 200)  # of the MACs, in millions


def write_page() -> None:
    """Writes the tables into the page, and draws its figure."""
    rows = rows_of_table()
    page = PAGE.read_text(encoding="utf-8")
    for name, lines in sections(rows).items():
        page = filled(page, name, lines)
    PAGE.write_text(page, encoding="utf-8")
    draw(rows)


def rows_of_table() -> list[Row]:
    """The nets, the most accurate first."""
    rows = [Row(options, runs) for options, runs in grouped(runs_of("table")).items()]
    return sorted(rows, key=lambda row: -row.accuracy)


def sections(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The generated parts of the page, by the names of their marks."""
    return {
        "nets": nets_table(rows),
        "commands": commands(rows),
        "ingredients": ingredients_table(),
        "pytorch": pytorch_table(rows),
        "long": long_table(),
        "again": again_table(),
        "machine": [_machine()],
    }


def filled(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with other lines between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: if the marks are not there.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if begin not in page or end not in page:
        raise ValueError(f"{PAGE.name} has no place for {name!r}")
    before, rest = page.split(begin)
    return "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{rest.split(end)[1]}"])


@dataclass(frozen=True)
class Row:
    """A net in the table: runs that differ in their seeds.

    Attributes:
        options: of the command, apart from the seed.
        runs: one a seed, in their order.
    """

    options: str
    runs: Sequence[Run]

    @property
    def seconds(self) -> float | None:
        """That the steps of a run take on the machine that timed them; None if they were not timed."""
        per_step = _seconds_per_step(self.options).get("zoo")
        return None if per_step is None else per_step * self.runs[0].history[-1].step

    @property
    def images_per_second(self) -> float | None:
        """Likewise."""
        per_step = _seconds_per_step(self.options).get("zoo")
        return None if per_step is None else self.runs[0].config.batch_size / per_step

    @property
    def name(self) -> str:
        model = self.runs[0].config.model
        is_named_after_width = model_options(model.name).get("width") == model.width
        return model.name if model.width is None or is_named_after_width else f"{model.name}, width {model.width}"

    @property
    def accuracies(self) -> list[float]:
        return [run.accuracy for run in self.runs]

    @property
    def accuracy(self) -> float:
        return statistics.mean(self.accuracies)


@cache
def _speed() -> dict[str, Any]:
    path = KEPT / "speed.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"seconds_per_step": {}}
    return content


def _seconds_per_step(options: str) -> dict[str, float]:
    """Of a row of the table, by who made the steps, `zoo` or `pytorch`; empty if it was not timed."""
    content: dict[str, float] = _speed()["seconds_per_step"].get(options, {})
    return content


def _cores(run: Run) -> str:
    count = run.environment["cpu_count"]
    return f"{count} core{'s' if count > 1 else ''}"


def _machine() -> str:
    trained = {
        f"JAX {run.environment['jax']}, Python {run.environment['python']}, {_cores(run)}" for run in runs_of("table")
    }
    timed = _speed().get("machine")
    return f"Trained with {'; '.join(sorted(trained))}. " + (f"Timed with {timed}." if timed else "Not timed yet.")


def spread(accuracies: Sequence[float]) -> str:
    """Mean of the seeds, and their standard deviation where there are several."""
    mean = f"{statistics.mean(accuracies):.2%}"
    return mean if len(accuracies) == 1 else f"{mean} ± {100 * statistics.stdev(accuracies):.2f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    made = Table(*header)
    for row in rows:
        made.add(*row)
    return made.lines


def nets_table(rows: Sequence[Row]) -> list[str]:
    header = ("net", "parameters", "MACs", "epochs", "seconds", "images/s", "test accuracy", "seeds")
    return table(
        header,
        [
            (
                row.name,
                f"{row.runs[0].cost[0]:,}",
                count(row.runs[0].cost[1]),
                str(row.runs[0].config.epochs),
                "–" if row.seconds is None else f"{row.seconds:.0f}",
                "–" if row.images_per_second is None else f"{row.images_per_second:.0f}",
                spread(row.accuracies),
                ", ".join(str(run.config.seed) for run in row.runs),
            )
            for row in rows
        ],
    )


def commands(rows: Sequence[Row]) -> list[str]:
    """The command of each row; with `--seed` for the other seeds."""
    lines = [f"uv run train.py --config {RECIPE} {row.options}" for row in rows]
    return ["```", *lines, "```"]


def ingredients_table() -> list[str]:
    """What each change of the recipe does to the net that it was tried with."""
    changed = grouped(runs_of("ingredients"))
    of_recipe = grouped(runs_of("table"))
    lines = []
    for runs in changed.values():
        config = runs[0].config
        with_recipe = next((row for row in of_recipe.values() if _is_recipe_for(row[0].config, config)), None)
        if with_recipe is None:
            raise ValueError(f"{runs[0].directory} has no run of the table to compare with")
        difference = statistics.mean(run.accuracy for run in runs) - statistics.mean(
            run.accuracy for run in with_recipe
        )
        change = " ".join(option for option in options_of(config)[1:] if not option.startswith("--epochs"))
        lines.append(
            (config.model.name, f"`{change}`", spread([run.accuracy for run in runs]), f"{100 * difference:+.2f}")
        )
    header = ("net", "changed", "test accuracy", "over the recipe, points")
    return table(header, lines) if lines else ["Not measured yet."]


def _is_recipe_for(recipe: TrainConfig, changed: TrainConfig) -> bool:
    return recipe.model.name == changed.model.name and recipe.epochs == changed.epochs


def pytorch_table(rows: Sequence[Row]) -> list[str]:
    """Rows of the table beside the same recipe in PyTorch."""
    there = grouped(runs_of("pytorch"))
    lines = []
    for row in rows:
        if row.options not in there:
            continue
        theirs = there[row.options]
        seconds = _seconds_per_step(row.options)
        ratio = f"{seconds['pytorch'] / seconds['zoo']:.2f}" if "pytorch" in seconds else "–"
        lines.append((row.name, spread(row.accuracies), spread([run.accuracy for run in theirs]), ratio))
    header = ("net", "here", "in PyTorch", "PyTorch's time / ours")
    return table(header, lines) if lines else ["Not measured yet."]


def long_table() -> list[str]:
    lines = []
    for run in runs_of("long"):
        seconds = sum(epoch.seconds for epoch in run.history)
        command = f"`uv run train.py --config {RECIPE} {run.options}`"
        lines.append((run.config.model.name, str(run.config.epochs), f"{seconds:.0f}", f"{run.accuracy:.2%}", command))
    header = ("net", "epochs", "seconds as it ran", "test accuracy", "command")
    return table(header, lines) if lines else ["Not run yet."]


def again_table() -> list[str]:
    """Runs that were made twice, and whether their weights are the same."""
    first = {(run.options, run.config.seed): run for run in runs_of("table")}
    lines = []
    for run in runs_of("again"):
        before = first[run.options, run.config.seed]
        is_same = before.weights_sha256 == run.weights_sha256
        lines.append((f"`{run.options}`", str(run.config.seed), "the same bits" if is_same else "other bits"))
    return table(("options", "seed", "weights"), lines) if lines else ["Not done yet."]


def draw(rows: Sequence[Row]) -> None:
    """Accuracy against training time and against MACs."""
    panels: list[tuple[str, Callable[[Row], float | None]]] = [
        ("MACs of an image, millions", lambda row: row.runs[0].cost[1] / 1e6),
        ("training time, minutes", lambda row: None if row.seconds is None else row.seconds / 60),
    ]
    with drawing(FIGURE, 9, 10) as figure:
        found = []
        for axes, (label, of) in zip(figure.subplots(2, 1), panels, strict=True):
            points = [(x, 100 * row.accuracy, row.name) for row in rows if (x := of(row)) is not None]
            found.append((axes, points))
            for x, y, _ in points:
                axes.plot(x, y, "o", color="C0")
            axes.margins(x=0.35)
            axes.set_xlabel(label)
            axes.set_ylabel("test accuracy, %")
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_xscale("log")
        figure.axes[0].set_xticks(_TICKS, list(map(str, _TICKS)))
        figure.axes[0].set_xticks([], minor=True)
        figure.draw_without_rendering()  # so that it is known where the points are
        for axes, points in found:
            name_points(axes, points)


def name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Writes beside each point (x, y, name) its name, in the first place where it covers no other point or name."""
    size = 8  # of a point, in pixels
    taken = [
        Bbox.from_bounds(x - size / 2, y - size / 2, size, size)
        for x, y in axes.transData.transform([(x, y) for x, y, _ in points])
    ]
    for x, y, name in points:
        for place in _PLACES:
            text = axes.annotate(name, (x, y), textcoords="offset points", fontsize=9, **place)
            box = text.get_window_extent().padded(-2)  # which lines of text leave free
            if place is _PLACES[-1] or not box.count_overlaps(taken):
                break
            text.remove()
        taken.append(box)
