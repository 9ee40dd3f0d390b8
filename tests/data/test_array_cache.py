from __future__ import annotations

import resource
import warnings
from pathlib import Path

import numpy as np
import pytest

from zoo.data import array_cache

ARRAYS = {
    "images": np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8),
    "labels": np.arange(3, dtype=np.int32),
    "names": np.array(["a", "bc"]),
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the arrays are kept; there is nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "zoo" / "made.npz"


def keep(fingerprint: bytes = b"these") -> None:
    array_cache.write("made", fingerprint, ARRAYS, "what is made")


def is_read(fingerprint: bytes = b"these") -> bool:
    """Whether there are arrays, which then are those that were kept."""
    arrays = array_cache.read("made", fingerprint)
    if arrays is not None:
        assert arrays.keys() == ARRAYS.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
    return arrays is not None


def test_arrays_are_kept_until_others_are(file: Path) -> None:
    assert not is_read()
    keep()
    assert is_read()
    assert not is_read(b"others")
    keep(b"others")
    assert is_read(b"others")
    assert not is_read()
    assert list(file.parent.iterdir()) == [file]


def test_damage_is_noticed(file: Path) -> None:
    keep()
    sound = file.read_bytes()
    for length in (0, 10, len(sound) // 2, len(sound) - 1):
        file.write_bytes(sound[:length])
        with pytest.warns(UserWarning, match="cannot be read"):
            assert not is_read()
    file.write_bytes(sound.replace(b"'shape': (3, 32", b"'shape': (1, 32"))  # would read fewer images, without a word
    with pytest.warns(UserWarning, match="cannot be read"):
        assert not is_read()
    noticed = 0
    positions = range(5, len(sound), len(sound) // 150)
    for position in positions:
        damaged = bytearray(sound)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            is_read()
        noticed += bool(caught)
    assert noticed > 0.9 * len(positions)  # A zip archive has a few bytes, such as times, that mean nothing here.


def test_a_cache_that_cannot_be_written_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.touch()  # where a directory should be
    with pytest.warns(UserWarning, match="what is made cannot be cached"):
        keep()
    assert not is_read()


def test_a_full_disk_leaves_no_part_of_a_cache(file: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        with pytest.warns(UserWarning, match=rf"cannot be cached in {file.parent} \(File too large\)"):
            keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(file.parent.iterdir()) == []
    keep()
    assert is_read()
