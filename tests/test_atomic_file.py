from __future__ import annotations

import errno
import os

import pytest

from zoo.atomic_file import naming, replacing


def test_a_file_takes_the_place_of_another(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with replacing(path) as unfinished:
        unfinished.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_exception_the_old_file_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def be_interrupted():
        with replacing(path) as unfinished:
            unfinished.write_text("aft")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_names_no_file_gets_its_name(tmp_path):
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"), naming(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError, match="other"), naming(tmp_path):
        (tmp_path / "other").read_text()
