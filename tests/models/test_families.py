"""A family is one file and one import line: nothing else in the project knows of it."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.registry import _models
from zoo.weights import torchvision
from zoo.weights.export import export_weights
from zoo.weights.safetensors import read_tensors

PACKAGE = Path(zoo.__file__).parent
FAMILY = """
import jax
from flax import nnx

from zoo.blocks import ConvNormAct
from zoo.models._names import NameMap
from zoo.models._classifier import ImageClassifier
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register


class Toy(ImageClassifier):
    def __init__(self, num_classes: int = 5, in_channels: int = 3, *, rngs: nnx.Rngs) -> None:
        self.stem = ConvNormAct(in_channels, 4, rngs=rngs)
        self._init_stages([[ConvNormAct(4, 6, stride=2, rngs=rngs)]], [2])
        self._init_head(6, num_classes, dropout=0.0, dtype=None, param_dtype=jax.numpy.float32, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        return {"torchvision": NameMap({"stem": "conv1.[0,1]", "stages.0.0": "conv2.[0,1]", "head": "fc"})}


register(
    "toy",
    Toy,
    ModelInfo("a paper", 32, parameters=381),
    weights=(TorchvisionWeights("Toy_Weights.IMAGENET1K_V1", "toy-0123abcd.pth"), TimmWeights("toy_100")),
)
"""


def imports(path: Path) -> set[str]:
    """The modules, and the names in them, that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def families() -> dict[str, str]:
    """Module -> class, by the lines of `zoo/models/__init__.py`."""
    docstring, *lines = ast.parse((PACKAGE / "models" / "__init__.py").read_text("utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(line, ast.ImportFrom) and len(line.names) == 1 for line in lines)
    return {line.module: line.names[0].name for line in lines}


def test_the_package_has_one_line_for_each_family():
    registered = {entry.architecture.__module__: entry.architecture.__name__ for entry in _models.values()}
    assert zoo.list_models()
    assert registered.items() <= families().items()


def test_no_other_file_knows_a_family():
    modules, classes = set(families()), set(families().values())
    for path in PACKAGE.rglob("*.py"):
        if path.parent == PACKAGE / "models":
            continue
        known = {name for name in imports(path) if name in modules or name.rpartition(".")[0] in modules}
        known |= {name for name in imports(path) if name.removeprefix("zoo.models.") in classes}
        names = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Name)}
        assert (known | (names & classes)) == set(), path


@pytest.fixture
def toy(tmp_path):
    """A family of its own file, registered for the time of a test."""
    file = tmp_path / "toy.py"
    file.write_text(FAMILY, "utf-8")
    spec = importlib.util.spec_from_file_location("toy", file)
    module = importlib.util.module_from_spec(spec)
    before = dict(_models)
    spec.loader.exec_module(module)
    yield module.Toy
    _models.clear()
    _models.update(before)


def test_a_new_file_is_all_that_a_family_takes(toy, tmp_path):
    assert zoo.list_models("toy") == ["toy"]
    model = zoo.create_model("toy", num_classes=3)
    assert type(model) is toy
    assert torchvision.find("Toy_Weights.IMAGENET1K_V1")[0] == "toy"
    export_weights(model, tmp_path / "w.safetensors", to="torchvision")
    assert read_tensors(tmp_path / "w.safetensors")[0]["conv2.1.running_var"].shape == (6,)
    loaded = zoo.create_model("toy", weights=tmp_path / "w.safetensors")
    np.testing.assert_array_equal(loaded.head.kernel[...], model.head.kernel[...])
