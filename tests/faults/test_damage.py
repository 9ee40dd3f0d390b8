"""Checkpoints that were damaged on the disk: none is restored without a word."""

from __future__ import annotations

import random
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A directory with the checkpoints 1 and 2 of a state whose numbers are all 1 and all 2, and its structure."""
    shapes = {"kernel": (3, 3, 3, 64), "head": {"kernel": (64, 100), "bias": (100,)}, "step": ()}
    directory = tmp_path_factory.mktemp("saved")
    random_state = np.random.default_rng(0)
    noise = jax.tree.map(
        lambda shape: random_state.random(shape, np.float32), shapes, is_leaf=lambda x: type(x) is tuple
    )
    with Checkpoints(directory) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, jax.tree.map(lambda leaf, step=step: jnp.float32(step) + leaf, noise))
    return directory, noise


def restore(directory, noise):
    """The step whose state is restored, of which every bit is right, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Checkpoints(directory) as checkpoints:
            step = checkpoints.latest_step()
            restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, noise))
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(noise), strict=True):
        np.testing.assert_array_equal(a, np.float32(step) + b)
    return step, [str(warning.message) for warning in caught]


def files_of(checkpoint):
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


@pytest.mark.parametrize("seed", range(100))
def test_a_flipped_bit_is_noticed(seed, saved, tmp_path):
    original, noise = saved
    directory = shutil.copytree(original, tmp_path / "checkpoints")
    choose = random.Random(seed)
    files = files_of(directory / "2")
    # Every other time any file, else the largest: by chance alone nearly all flips would hit that.
    path = choose.choice(files) if seed % 2 else max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    path.write_bytes(content)
    step, lines = restore(directory, noise)
    assert step == 1
    assert len(lines) == 1
    assert "step 2 is damaged" in lines[0]


@pytest.mark.parametrize("seed", range(20))
def test_a_truncated_or_missing_file_is_noticed(seed, saved, tmp_path):
    original, noise = saved
    directory = shutil.copytree(original, tmp_path / "checkpoints")
    choose = random.Random(seed)
    path = choose.choice(files_of(directory / "2"))
    if seed % 2:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: choose.randrange(path.stat().st_size)])
    assert restore(directory, noise)[0] == 1


def test_an_undamaged_one_is_used_without_a_word(saved, tmp_path):
    original, noise = saved
    assert restore(shutil.copytree(original, tmp_path / "checkpoints"), noise) == (2, [])
