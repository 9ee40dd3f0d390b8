from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)  # for the tests of sharding

# Every example may compile several programs: no deadline, and the same examples in every run.
hypothesis.settings.register_profile("zoo", deadline=None, derandomize=True, max_examples=16)
hypothesis.settings.load_profile("zoo")


def pytest_addoption(parser):
    parser.addoption("--faults", action="store_true", help="run tests/faults as well, which takes minutes")


@pytest.fixture
def float64():
    """Computes in float64 within the test."""
    with jax.enable_x64(True):
        yield
