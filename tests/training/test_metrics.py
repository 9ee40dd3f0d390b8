from __future__ import annotations

import errno
import json
import math
import os
import struct
from dataclasses import replace

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

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
    with pytest.warns(UserWarning, match=r"the last line of .*metrics\.jsonl is half-written and left out"):
        assert read(tmp_path) == [FIRST, SECOND, THIRD]
    with (
        pytest.warns(UserWarning, match="half-written and left out"),
        pytest.warns(UserWarning, match="from step 20: the figures of epoch 3 are dropped"),
    ):
        write(tmp_path, THIRD, resume_step=20)
    assert read(tmp_path) == [FIRST, SECOND, THIRD]
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize(
    "content", ['{"step": 1\n{"step": 2}\n', '{"step": 1\n', "[1]\n", '{"st\xffep": 1}\n', '{"step": 1}\n']
)
def test_a_broken_line_that_is_not_half_written_is_an_error(content, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"line 1 of .*metrics\.jsonl does not hold the figures of an epoch"):
        read(tmp_path)


def test_a_line_that_cannot_be_written_leaves_nothing_and_names_the_file(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with MetricsLog(tmp_path) as log:
        log.write(FIRST)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match=r"No space left on device: .*metrics\.jsonl"):
                log.write(SECOND)
        assert read(tmp_path) == [FIRST]
        log.write(SECOND)
        assert read(tmp_path) == [FIRST, SECOND]


def test_numbers_that_are_not_finite_stay_valid_json(tmp_path):
    write(tmp_path, replace(FIRST, train_loss=math.inf))
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["train_loss"] is None
    assert math.isnan(read(tmp_path)[0].train_loss)


def test_a_run_that_lost_everything_starts_anew(tmp_path):
    write(tmp_path, FIRST)
    with pytest.warns(UserWarning, match="epoch 1 are dropped"):
        write(tmp_path, resume_step=0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_an_interrupted_file_reads_as_one_that_was_not(tmp_path):
    write(tmp_path / "whole", FIRST, SECOND, THIRD)
    write(tmp_path / "resumed", FIRST, SECOND)
    with pytest.warns(UserWarning, match="epoch 2 are dropped"):
        write(tmp_path / "resumed", SECOND, THIRD, resume_step=10)
    whole, resumed = (tmp_path / name / "metrics.jsonl" for name in ("whole", "resumed"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_no_file_is_no_history(tmp_path):
    assert read(tmp_path) == []


def tensorboard_events(directory):
    """The events of all event files, in the order TensorBoard reads them.

    A record is its length (8 bytes), a checksum (4), the event, and a checksum (4).
    """
    for path in sorted((directory / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def test_tensorboard_gets_the_same_figures(tmp_path):
    write(tmp_path, FIRST, SECOND)
    figures = {
        (event.step, value.tag): value.simple_value
        for event in tensorboard_events(tmp_path)
        for value in event.summary.value
    }
    assert len(figures) == 2 * 8
    assert figures[10, "loss/train"] == 2.0
    assert figures[10, "accuracy/test"] == 0.5
    assert figures[20, "accuracy/test"] == 0.75
    assert figures[20, "learning_rate"] == pytest.approx(0.1)


def test_tensorboard_is_told_to_forget_what_was_lost(tmp_path):
    write(tmp_path, FIRST, SECOND)
    with pytest.warns(UserWarning, match="epoch 2 are dropped"):
        write(tmp_path, SECOND, resume_step=10)  # within the same second: the files must not share a name
    starts = [event.step for event in tensorboard_events(tmp_path) if event.HasField("session_log")]
    assert starts == [1, 11]  # events from this step on are hidden
    losses = [e.step for e in tensorboard_events(tmp_path) for v in e.summary.value if v.tag == "loss/train"]
    assert losses == [10, 20, 20]
