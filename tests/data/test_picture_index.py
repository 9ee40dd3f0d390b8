from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from zoo.data import picture_index
from zoo.data.picture_index import PictureIndex

Output = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `a/1.png`, `a/b/2.png`, as old as a folder has to be to be remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("a/1.png", "a/b/2.png"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "root" / name)
    settle(tmp_path / "root")
    return tmp_path / "root"


def settle(root: Path, seconds: int = 1_000_000_000) -> None:
    for folder, _, _ in os.walk(root):
        os.utime(folder, (seconds, seconds))


def walk(root: Path, folder: str = "a") -> tuple[list[str], Counter[str]]:
    index = PictureIndex(root)
    found = index.walk(folder)
    index.save()
    return found


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are read and not remembered."""
    names: list[str] = []
    scan = picture_index._scan
    monkeypatch.setattr(
        picture_index, "_scan", lambda folder, modified: names.append(folder.name) or scan(folder, modified)
    )
    return names


def test_a_folder_is_read_once(root: Path, scanned: list[str]) -> None:
    assert walk(root) == walk(root) == (["a/1.png", "a/b/2.png"], Counter())
    assert scanned == ["a", "b"]


def test_a_folder_that_has_changed_is_read_again(root: Path, scanned: list[str]) -> None:
    walk(root)
    (root / "a" / "b" / "3.png").touch()
    (root / "a" / "b" / "4.txt").touch()
    settle(root / "a" / "b", 1_000_000_001)
    assert walk(root) == walk(root) == (["a/1.png", "a/b/2.png", "a/b/3.png"], Counter({".txt": 1}))
    assert scanned == ["a", "b", "b"]
    for file in (root / "a" / "b").iterdir():
        file.unlink()
    (root / "a" / "b").rmdir()
    settle(root, 1_000_000_002)
    assert walk(root) == walk(root) == (["a/1.png"], Counter())


def test_a_folder_that_changed_just_now_may_change_again_unseen(root: Path, scanned: list[str]) -> None:
    os.utime(root / "a" / "b")
    walk(root)
    walk(root)
    assert scanned == ["a", "b", "b"]


def test_a_damaged_cache_is_made_again(root: Path, scanned: list[str]) -> None:
    walk(root)
    (file,) = (root.parent / "cache" / "zoo" / "folders").iterdir()
    content = file.read_bytes()
    for damaged in (content[:-5], content.replace(b"1.png", b"7.png"), b""):
        file.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"the cache .*\.json cannot be read .*; it is made again"):
            assert walk(root)[0] == ["a/1.png", "a/b/2.png"]
        assert file.read_bytes() == content
    file.write_bytes(picture_index._checksum(b'{"format":0}') + b'\n{"format":0}')  # of another version: no damage
    assert walk(root)[0] == ["a/1.png", "a/b/2.png"]


def test_without_a_cache_it_works_and_says_so(root: Path) -> None:
    (root.parent / "cache").touch()
    with pytest.warns(UserWarning, match=r"the index of .*root cannot be kept in .*cache/zoo/folders"):
        assert walk(root)[0] == ["a/1.png", "a/b/2.png"]


def test_names_that_are_not_text(root: Path, scanned: list[str]) -> None:
    name = os.fsdecode(b"\xff\n\xc3\xbc.png")
    try:
        (root / "a" / name).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    settle(root)
    assert walk(root)[0] == walk(root)[0] == ["a/1.png", "a/b/2.png", f"a/{name}"]
    assert scanned == ["a", "b"]


def readable(root: Path, side: int = 4) -> list[str]:
    index = PictureIndex(root)
    found = index.readable(index.walk("a")[0], side)
    index.save()
    return found


def test_every_picture_is_tried_once(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    (root / "a" / "b" / "2.png").write_bytes(b"")
    assert readable(root) == ["a/1.png"]
    assert capsys.readouterr().err == f"Checking 2 pictures in {root} (once)\n"
    (root / "a" / "notes.txt").touch()
    settle(root / "a", 1_000_000_001)
    walk(root)  # which does not ask, but forgets nothing
    monkeypatch.setattr(picture_index, "read_picture", None)
    assert readable(root) == ["a/1.png"]
    assert capsys.readouterr().err == ""


def test_a_picture_is_tried_again_when_its_file_or_pillow_has_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    readable(root)
    (root / "a" / "1.png").write_bytes(b"no picture")
    assert readable(root) == ["a/b/2.png"]
    assert "Checking 1 picture in" in capsys.readouterr().err
    monkeypatch.setattr(PIL, "__version__", "0")
    assert readable(root) == ["a/b/2.png"]
    assert "Checking 2 pictures" in capsys.readouterr().err


def test_an_interrupted_check_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def interrupted(path: Path, side: int) -> None:
        if path.name == "2.png":
            raise KeyboardInterrupt

    monkeypatch.setattr(picture_index, "read_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        readable(root)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
    capsys.readouterr()
    assert readable(root) == ["a/1.png", "a/b/2.png"]
    assert "Checking 1 picture in" in capsys.readouterr().err


def test_a_truncated_picture_cannot_be_read(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(root / "a" / "whole.jpg")
    content = (root / "a" / "whole.jpg").read_bytes()
    (root / "a" / "half.jpg").write_bytes(content[: len(content) // 2])
    assert readable(root) == ["a/1.png", "a/b/2.png", "a/whole.jpg"]
