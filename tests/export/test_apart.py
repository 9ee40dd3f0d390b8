from __future__ import annotations

import numpy as np
import pytest

from zoo.export import ExportError, apart
from zoo.export.apart import run_apart, start_program


def test_the_process_has_no_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "_PROGRAMS", tmp_path)
    program = (apart.__file__.replace("apart.py", "programs/run.py"),)
    (tmp_path / "run.py").write_text(
        "import runpy\n"
        f"names = runpy.run_path({program[0]!r})\n"
        "def load(path):\n"
        "    try:\n"
        "        import zoo\n"
        "    except ImportError:\n"
        "        return (lambda images: images + 1), 'nothing'\n"
        "    raise AssertionError\n"
        "names['main'].__globals__['load_onnx'] = load\n"
        "import sys\n"
        "names['main'](*sys.argv[1:])\n"
    )
    ran = run_apart("onnx", tmp_path / "net", [np.arange(3), np.arange(2)])
    np.testing.assert_array_equal(ran.outputs[1], [1, 2])
    assert ran.runtime == "nothing"
    assert ran.seconds > 0


def test_the_last_words_of_a_program_are_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "_PROGRAMS", tmp_path)
    (tmp_path / "a.py").write_text("import os, sys\nprint('first', file=sys.stderr)\nraise ValueError('no such thing')")
    with pytest.raises(ExportError, match=r"^it failed: ValueError: no such thing$"):
        start_program("a", failing="it failed")
    (tmp_path / "a.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ExportError, match=r"^it failed: it ended with status -9$"):
        start_program("a", failing="it failed")
