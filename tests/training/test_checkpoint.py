from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from zoo.training import checksums
from zoo.training.checkpoint import CheckpointError, Checkpoints


def test_the_newest_state_comes_back_whole(make_trainer, tmp_path):
    _, state = make_trainer(ema_decay=0.9)
    later = jax.tree.map(lambda leaf: leaf + 1, state)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step() is None
        checkpoints.save(3, state)
        checkpoints.save(5, later)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step() == 5
        restored = checkpoints.restore(state)
    assert jax.tree.structure(restored) == jax.tree.structure(later)
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(later), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_the_two_newest_are_kept_and_a_step_is_saved_once(make_trainer, tmp_path):
    _, state = make_trainer()
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3, 3):
            checkpoints.save(step, state)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdigit()) == ["2", "3"]


def test_an_unfinished_checkpoint_is_not_taken_for_one(make_trainer, tmp_path):
    _, state = make_trainer()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "2.orbax-checkpoint-tmp" / "default").mkdir()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 1


@pytest.fixture
def saved(make_trainer, tmp_path):
    """A directory with checkpoints of steps 3 and 5, and the state of step 3; that of step 5 is one more everywhere."""
    _, state = make_trainer(ema_decay=0.9)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state)
        checkpoints.save(5, jax.tree.map(lambda leaf: leaf + 1, state))
    return tmp_path, state


def flip_a_bit_of_the_largest_file(checkpoint):
    largest = max(checkpoint.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


def remove_the_manifest(checkpoint):
    (checkpoint / "default" / "manifest.ocdbt").unlink()


def remove_the_item(checkpoint):
    shutil.rmtree(checkpoint / "default")


def remove_everything(checkpoint):
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


DAMAGES = [flip_a_bit_of_the_largest_file, remove_the_manifest, remove_the_item, remove_everything]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used(damage, saved):
    directory, state = saved
    for aside in ("damaged-5", "damaged-5-2"):
        damage(directory / "5")
        line = rf"^the checkpoint of step 5 is damaged \(.*set aside as .*/{aside}, and that of step 3 is used$"
        with pytest.warns(UserWarning, match=line):
            checkpoints = Checkpoints(directory)
        with checkpoints:
            assert checkpoints.latest_step() == 3
            for a, b in zip(jax.tree.leaves(checkpoints.restore(state)), jax.tree.leaves(state), strict=True):
                np.testing.assert_array_equal(a, b)
            checkpoints.save(5, state)
    assert sorted(path.name for path in directory.iterdir()) == ["3", "5", "damaged-5", "damaged-5-2"]
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step() == 5


def test_where_none_is_whole_one_error_names_both_and_all_stay(saved):
    directory, _ = saved
    remove_the_manifest(directory / "3")
    remove_the_item(directory / "5")
    with pytest.raises(CheckpointError) as error:
        Checkpoints(directory)
    for part in ("step 3 (default/manifest.ocdbt is missing)", "step 5 (default/", str(directory)):
        assert part in str(error.value)
    assert sorted(path.name for path in directory.iterdir()) == ["3", "5"]


def test_a_checkpoint_of_another_model_is_one_error(saved, make_trainer):
    directory, state = saved
    other = replace(state, step=jax.numpy.zeros(3))
    with Checkpoints(directory) as checkpoints:
        line = r"step 5 in .* does not fit: step is int32\[\] in it, and float32\[3\] in this run"
        with pytest.raises(CheckpointError, match=line):
            checkpoints.restore(other)
        with pytest.raises(CheckpointError, match=r"average\.0.* is float32\[.*\] in it, and missing in this run"):
            checkpoints.restore(make_trainer()[1])


def test_a_checkpoint_killed_between_its_checksums_and_its_name_is_removed(saved):
    directory, _ = saved
    (directory / "5").rename(directory / "5.orbax-checkpoint-tmp-unsealed")
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step() == 3
    assert [path.name for path in directory.iterdir()] == ["3"]


def test_a_checkpoint_that_cannot_be_written_is_one_error_and_the_one_before_stays(saved, monkeypatch, capfd):
    directory, state = saved

    def fail(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checksums, "seal", fail)
    with (
        pytest.raises(CheckpointError, match=f"cannot write a checkpoint to {directory}: No space left on device"),
        Checkpoints(directory) as checkpoints,
    ):
        checkpoints.save(7, state)
    monkeypatch.undo()
    assert capfd.readouterr().err == ""
    assert sorted(path.name for path in directory.iterdir()) == ["3", "5"]
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step() == 5
