from __future__ import annotations

import pytest

from zoo.training import processes, run_directory
from zoo.training.processes import ProcessesError


def test_a_process_alone_agrees_with_itself():
    assert processes.is_first()
    assert processes.together(lambda: 3) == 3
    assert processes.from_first(lambda: {"a": 1}) == {"a": 1}
    assert processes.agree(0, 12) == (0, 12)
    assert processes.agree(15, 12) == (15, 12)
    processes.check_alike({"classes": ("a", "b")})  # tuples come back as lists
    with pytest.raises(KeyError):
        processes.together(lambda: {}["missing"])


def test_a_cluster_that_is_not_there_is_one_error():
    with pytest.raises(ProcessesError, match=r"cannot begin together: .* --distributed.coordinator-address"):
        processes.begin(None, None, None)


def test_a_directory_that_is_not_shared_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(run_directory, "_SECONDS_TO_SEE", 0)
    (tmp_path / "lock").write_text("7 on here")
    run_directory._see(tmp_path / "lock", "7 on here")
    for file, text in ((tmp_path / "lock", "8 on there"), (tmp_path / "nothing", "7 on here")):
        with pytest.raises(ProcessesError, match=r"does not see what process 0 has written into .* must be on a disk"):
            run_directory._see(file, text)
