from __future__ import annotations

import shutil
import subprocess

import pytest

from zoo.training.checksums import find_damage, seal


@pytest.fixture
def directory(tmp_path):
    for name, content in {"a": b"some bytes", "part/b c": b"", "part/deep/d": b"\0" * 50}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    seal(tmp_path)
    return tmp_path


def test_a_whole_directory_has_no_damage(directory):
    assert find_damage(directory) is None
    (directory / ".nfs0001").write_text("left by a network file system")
    assert find_damage(directory) is None


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_reads_the_checksums(directory):
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=directory, check=True, capture_output=True)


def test_every_bit_counts(directory):
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        for bit in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            assert find_damage(directory) is not None, (path, bit)
        path.write_bytes(content)
    assert find_damage(directory) is None


def test_every_truncation_counts(directory):
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        for length in range(len(content)):
            path.write_bytes(content[:length])
            assert find_damage(directory) is not None, (path, length)
        path.write_bytes(content)


def test_damage_is_named(directory):
    (directory / "part/deep/d").write_bytes(b"\1" * 50)
    assert find_damage(directory) == "part/deep/d does not have its checksum"
    (directory / "part/deep/new").write_bytes(b"")
    shutil.rmtree(directory / "part" / "deep")
    assert find_damage(directory) == "part/deep/d is missing"
    (directory / "new").write_bytes(b"")
    (directory / "part/deep").mkdir()
    (directory / "part/deep/d").write_bytes(b"\0" * 50)
    assert find_damage(directory) == "new has no checksum"
    (directory / "SHA256SUMS").unlink()
    assert find_damage(directory) == "SHA256SUMS is missing"
