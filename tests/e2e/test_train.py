"""`train.py` itself, with a small model: what it writes serves an importer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.data import shapes
from zoo.data.augment import normalize

TRAIN = Path(__file__).parents[2] / "train.py"


@pytest.mark.slow
def test_the_weights_of_a_run_load_back_to_its_test_accuracy(tmp_path):
    run = tmp_path / "run"
    options = "--model.name mobilenet_v1 --model.width 0.25 --epochs 1"
    sizes = "--data.train-examples 64 --data.test-examples 100"
    ended = subprocess.run(
        [sys.executable, str(TRAIN), *options.split(), *sizes.split(), "--no-compilation-cache", "--output", str(run)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "\x1b" not in ended.stdout
    for path in ("report.png", "weights.safetensors", "metrics.jsonl"):
        assert str(run / path) in ended.stdout

    model = zoo.create_model("mobilenet_v1", weights=run / "weights.safetensors")
    model.eval()
    data = shapes.load(64, 100)
    images = zoo.preprocess(data.test.images, zoo.model_info("mobilenet_v1", weights=run))
    np.testing.assert_allclose(images, normalize(data.test.images, data.mean, data.std), atol=1e-5)
    logits = nnx.jit(lambda model, images: model(images))(model, images)
    metrics = json.loads((run / "metrics.jsonl").read_text())
    assert metrics["test_accuracy"] == np.mean(np.asarray(logits).argmax(-1) == data.test.labels)


def test_a_wrong_option_stops_with_status_2_and_one_line(tmp_path):
    ended = subprocess.run(
        [sys.executable, str(TRAIN), "--optimizer.learning-rte", "1"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "unknown option --optimizer.learning-rte; nearest: --optimizer.learning-rate" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_stop_before_there_is_a_run(tmp_path):
    ended = subprocess.run(
        [sys.executable, str(TRAIN), "--model.weights", "absent.pth"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert ended.stderr == "train.py: error: there are no weights at absent.pth\n"
    assert list(tmp_path.iterdir()) == []
