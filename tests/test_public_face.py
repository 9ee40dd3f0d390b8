"""What `import zoo` gives, and what it takes."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import zoo

ROOT = Path(__file__).parents[1]


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_everything_public_is_there_after_a_plain_import():
    code = (
        "import sys, zoo; assert 'jax' not in sys.modules; "
        "assert all(getattr(zoo, name) is not None for name in zoo.__all__); "
        "assert set(zoo.__all__) <= set(dir(zoo)); zoo.blocks.Conv, zoo.ops.explain, zoo.models.MobileNetV2"
    )
    ended = run_python(code)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert zoo.__version__ == version("conv-zoo")


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(zoo, "no_such_name")


def test_blocks_models_and_weights_do_without_what_training_needs(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.split(r"[<>=]", requirement)[0].lower() for requirement in project["optional-dependencies"]["train"]}
    assert {"tyro", "grain", "tensorflow-datasets"} <= extra
    blocked = {name.replace("-", "_") for name in extra} - {"optax", "orbax_checkpoint", "rich"}  # Flax has these
    ended = run_python(f"""
import sys

sys.modules.update(dict.fromkeys({sorted(blocked | {"tensorboardX"})!r}))  # None: as if not installed
import zoo

assert len(zoo.list_models()) > 80
zoo.blocks, zoo.ops, zoo.preprocess, zoo.analysis, zoo.export
model = zoo.create_model("mobilenet_v1", width=0.25, num_classes=2, small_images=True)
zoo.save_weights(model, {str(tmp_path / "w.safetensors")!r})
zoo.load_weights(model, {str(tmp_path / "w.safetensors")!r})
from zoo.cli import main

sys.exit(main(["list"]))
""")
    assert ended.returncode == 2
    assert ended.stderr == 'zoo: error: the commands need what comes with `pip install "conv-zoo[train]"`\n'


def test_the_version_is_told(capsys):
    from zoo.cli import main

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zoo {zoo.__version__}\n"
