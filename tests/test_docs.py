"""The Python of the docs runs as it stands, and the figures of the pages on convolutions are right."""

from __future__ import annotations

import contextlib
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import zoo
from zoo import registry
from zoo.analysis.cost import count_parameters

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS.parent / "benchmarks" / "results" / "lowerings-cpu-jax-0.12.md"
NOT_RUN = "(not run here"  # what stands right after a block that is not


def blocks_of(page: str) -> list[str]:
    found = re.findall(r"^```python\n(.*?)^```\n\s*([^\n]*)", (DOCS / page).read_text("utf-8"), flags=re.M | re.S)
    return [code for code, after in found if not after.startswith(NOT_RUN)]


PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
CONVOLUTIONS = [page for page in PAGES if page.startswith("convolutions/")]
SET_UP_BELOW = ("export.md", "own-pictures.md", "scaling.md")  # their code is about things that the reader has
RUN_AS_THEY_ARE = [page for page in PAGES if page not in SET_UP_BELOW and blocks_of(page)]


def smaller(code: str) -> str:
    """The same for a net that compiles faster."""
    return code.replace('"mobilenet_v2",', '"mobilenet_v1", width=0.25,')


@pytest.fixture
def registered_for_a_test():
    zoo.list_models()  # registers those of the zoo
    before = dict(registry._models)
    yield
    registry._models.clear()
    registry._models.update(before)


def run_page(page: str) -> tuple[list[str], dict[str, Any]]:
    """Runs the blocks of a page one after another; gives the lines that they print, and the variables.

    A line that the page has in a comment after a `print` must be what is printed.
    """
    printed, there = io.StringIO(), {"__name__": "page"}
    code = "".join(blocks_of(page))
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), there)
    lines = printed.getvalue().splitlines()
    assert lines == re.findall(r"^print\(.*\)  # (.*)$", code, flags=re.M)
    return lines, there


@pytest.mark.usefixtures("registered_for_a_test")
@pytest.mark.filterwarnings("ignore:.*head")
@pytest.mark.parametrize("page", [page for page in RUN_AS_THEY_ARE if page not in CONVOLUTIONS])
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, there = run_page(page)
    if "get_config" in there:
        there["get_config"]()
    for name in zoo.list_models("group_net*"):
        model = nnx.eval_shape(lambda name=name: zoo.create_model(name))
        assert count_parameters(model) == zoo.model_info(name).parameters


@pytest.mark.parametrize("page", CONVOLUTIONS)
def test_a_worked_cost_is_what_the_formula_gives_and_cost_tree_counts(page):
    lines, _ = run_page(page)
    counted = {int(number) for number in re.findall(r"\d+", " ".join(lines))}
    worked = re.findall(r"`([\d·+/() ]+) = ([\d,]+)`", (DOCS / page).read_text("utf-8"))
    assert worked
    for expression, result in worked:
        assert eval(expression.replace("·", "*")) == int(result.replace(",", ""))
        assert int(result.replace(",", "")) in counted


def rows_of(text: str) -> list[dict[str, str]]:
    """Those of the tables that begin with a column `convolution` and one `direction`."""
    rows, header = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[:2] == ["convolution", "direction"]:
            header = cells
        elif header and line.startswith("|") and not cells[0].startswith("---"):
            rows.append(dict(zip(header, cells, strict=True)))
        elif not line.startswith("|"):
            header = []
    return rows


def test_measured_times_are_those_of_the_results():
    measured = {(row["convolution"], row["direction"]): row for row in rows_of(RESULTS.read_text("utf-8"))}
    shown = [(page, row) for page in CONVOLUTIONS for row in rows_of((DOCS / page).read_text("utf-8"))]
    assert len(measured) == 90
    assert len({page for page, _ in shown}) == 6  # of the other kinds there are none
    for _, row in shown:
        assert row.items() <= measured[row["convolution"], row["direction"]].items()


@pytest.mark.slow
def test_exported_nets_are_read_as_the_page_says(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("picture.png")
    write, stablehlo, litert, onnx = blocks_of("export.md")
    there: dict[str, Any] = {
        "zoo": zoo,
        "onnxruntime": onnxruntime,
        "model": zoo.create_model("mobilenet_v1", num_classes=2, width=0.25, small_images=True),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
    }
    exec(write, there)
    assert there["written"].error < 1e-3
    there["export_net"](there["net"], "net.stablehlo", to="stablehlo", with_preprocessing=True)

    def prints_a_class(code):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, there)
        return printed.getvalue().strip() in ("cat", "dog")

    net = there["net"]
    assert prints_a_class(stablehlo)
    there |= {"net": {"class_names": net.class_names}, "images": np.zeros((1, 32, 32, 3), np.float32)}
    assert prints_a_class(onnx)
    if find_spec("ai_edge_litert") and find_spec("litert_converter"):
        there["export_net"](net, "net.tflite", to="litert")
        assert prints_a_class(litert)


@pytest.mark.slow
def test_fine_tuning_from_python(tmp_path):
    head_only, two_rates, features = blocks_of("own-pictures.md")
    zoo.save_weights(zoo.create_model("mobilenet_v1", num_classes=10, width=0.25), tmp_path / "w.safetensors")
    labels = np.array([0, 2, 2, 1])
    images = jnp.asarray(np.random.default_rng(0).standard_normal((4, 32, 32, 3)), jnp.float32)
    there: dict[str, Any] = {"images": images, "labels": labels, "rngs": nnx.Rngs(0)}
    there["weights"] = tmp_path / "w.safetensors"
    exec(smaller(head_only), there)

    def parameters():
        return {
            path: np.asarray(value[...])
            for path, value in nnx.to_flat_state(nnx.state(there["model"], (nnx.Param, nnx.BatchStat)))
        }

    def changed_by(step):
        before = parameters()
        losses = [float(step(there["model"], there["optimizer"], images, labels)) for _ in range(2)]
        assert losses[1] < losses[0]
        return {path[0] for path, value in parameters().items() if not np.array_equal(value, before[path])}

    assert changed_by(there["train_step"]) == {"head"}

    exec(two_rates, there)
    step = head_only[head_only.index("@nnx.jit") :].replace("argnums=nnx.DiffState(0, head)", "argnums=0")
    exec(step, there)
    assert changed_by(there["train_step"]) == {"stem", "stages", "head"}

    exec(smaller(features), there)
    assert there["vectors"].shape == (4, 256)
    assert there["maps"].keys() == there["body"].feature_channels.keys()
    assert there["loss"].shape == ()
    assert there["indices"].shape == (32,)
