"""Blocks, models and weights need jax, flax, numpy, pillow and safetensors only."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import zoo

PACKAGE = Path(zoo.__file__).parent
ALLOWED = {"zoo", "jax", "flax", "numpy", "PIL", "safetensors", *sys.stdlib_module_names}
# What they import.
OTHERS = [
    "atomic_file",
    "preprocessing",
    "published",
    "registry",
    "suggestions",
    "task_names",
    "type_hints",
    "user_cache",
]


def imported_at_once(path: Path) -> set[str]:
    """The packages that importing a file imports: not those inside functions or for type checkers only."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        pending += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("part", ["ops", "blocks", "models", "crf", "analysis", "weights", "tuning", *OTHERS])
def test_only_these_packages_are_imported(part):
    folder = PACKAGE / part
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    assert files
    for file in files:
        assert imported_at_once(file) <= ALLOWED, file
