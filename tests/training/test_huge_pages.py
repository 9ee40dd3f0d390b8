from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zoo.training import huge_pages

SCRIPT = """
import os, sys
from zoo.training.huge_pages import restart_with_huge_pages
print(os.getpid(), sys.argv[1:], os.environ.get("GLIBC_TUNABLES"))
restart_with_huge_pages()
"""


def run(**environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", SCRIPT, "--epochs", "2"]
    result = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are asked for on Linux only")
@pytest.mark.parametrize(
    ("before", "after"),
    [({}, "glibc.malloc.hugetlb=1"), ({"GLIBC_TUNABLES": "a.b=1"}, "a.b=1:glibc.malloc.hugetlb=1")],
)
def test_the_process_starts_once_more_with_its_number_and_its_arguments(before, after):
    first, second = run(**before)
    process, _, _ = first.partition(" ")
    assert second == f"{process} ['--epochs', '2'] {after}"


def test_a_setting_of_the_users_is_left_alone():
    assert len(run(GLIBC_TUNABLES="glibc.malloc.hugetlb=0")) == 1


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("the process was restarted"))
    huge_pages.restart_with_huge_pages()
    assert "GLIBC_TUNABLES" not in os.environ
