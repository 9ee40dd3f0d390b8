"""Faults that users meet, on purpose: skipped unless `--slow` is given, since they take minutes."""

from __future__ import annotations

import pytest

from tests.e2e.processes import TinyRun


def pytest_collection_modifyitems(items):
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Lets the processes share what they have compiled; without it nearly all of their time is spent with that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.getbasetemp().parent / "xla"))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory) -> TinyRun:
    run = TinyRun(*(tmp_path_factory.mktemp("uninterrupted") / name for name in ("run", "output")))
    assert run.finish() == 0, run.stderr
    return run
