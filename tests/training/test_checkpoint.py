from __future__ import annotations

import jax
import numpy as np

from zoo.training.checkpoint import Checkpoints


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
