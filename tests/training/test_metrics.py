from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from zoo.training.metrics import EpochMetrics, MetricsLog, read

FIRST = EpochMetrics(10, 1, 0.1, 2.0, 0.25, 1.5, 0.5, 1000.0, 3.0)
SECOND = replace(FIRST, step=20, epoch=2, test_accuracy=0.75)
THIRD = replace(FIRST, step=30, epoch=3)


def write(directory, *history, resume_step=0):
    with MetricsLog(directory, resume_step) as log:
        for metrics in history:
            log.write(metrics)


def test_a_line_is_on_the_disk_at_once(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(FIRST)
        assert json.loads((tmp_path / "metrics.jsonl").read_text())["test_accuracy"] == 0.5
        log.write(SECOND)
        assert read(tmp_path) == [FIRST, SECOND]


def test_scalars_of_numpy_are_written_as_numbers(tmp_path):
    write(tmp_path, replace(FIRST, step=np.int32(10), train_loss=np.float32(2.0)))
    assert read(tmp_path) == [FIRST]


def test_resuming_drops_what_was_lost_and_a_half_written_line(tmp_path):
    write(tmp_path, FIRST, SECOND, THIRD)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "epo')
    assert read(tmp_path) == [FIRST, SECOND, THIRD]
    write(tmp_path, THIRD, resume_step=20)
    assert read(tmp_path) == [FIRST, SECOND, THIRD]
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3


def test_a_broken_line_elsewhere_is_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1\n' + json.dumps({"step": 2}) + "\n")
    with pytest.raises(ValueError, match=r"line 1 of .*metrics\.jsonl does not hold the figures of an epoch"):
        read(tmp_path)


def test_numbers_that_are_not_finite_stay_valid_json(tmp_path):
    write(tmp_path, replace(FIRST, train_loss=math.inf))
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["train_loss"] is None
    assert math.isnan(read(tmp_path)[0].train_loss)


def test_no_file_is_no_history(tmp_path):
    assert read(tmp_path) == []


def test_tensorboard_gets_the_same_figures(tmp_path):
    write(tmp_path, FIRST)
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    for tag in (b"loss/train", b"accuracy/test", b"learning_rate"):
        assert tag in content
