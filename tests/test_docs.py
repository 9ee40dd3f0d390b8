"""The Python of the docs runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo

DOCS = Path(__file__).parents[1] / "docs"


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.S)


def smaller(code: str) -> str:
    """The same for a net that compiles faster."""
    return code.replace('"mobilenet_v2",', '"mobilenet_v1", width=0.25,')


@pytest.fixture
def compiling_fast():
    """The code of the docs leaves the compiler its options; whole nets would take it a minute."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
@pytest.mark.usefixtures("compiling_fast")
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
