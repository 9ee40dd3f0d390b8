from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most programs run once: compiling them is what takes the time. The programs that tests start inherit this, too.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
if version("jax").startswith("0.10."):  # later versions have no such option; a net's gradient compiles in half the time
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

import hypothesis
import jax
import pytest

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # What one of the programs that tests start has compiled, no other compiles again; they inherit this environment,
    # and the directory is gone at the end.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="zoo-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

if "ZOO_TESTS_CACHE" not in os.environ:
    # Lowerings that were measured for whoever runs the tests are not for the tests, nor for the programs they start.
    os.environ["XDG_CACHE_HOME"] = os.environ["ZOO_TESTS_CACHE"] = tempfile.mkdtemp(prefix="zoo-tests-")
    atexit.register(shutil.rmtree, os.environ["ZOO_TESTS_CACHE"], ignore_errors=True)

jax.config.update("jax_enable_compilation_cache", False)  # The tests themselves compile hardly anything twice.
jax.config.update("jax_num_cpu_devices", 8)  # for the tests of several devices
jax.config.update("jax_traceback_in_locations_limit", 0)  # Nobody reads the programs, and lowering is faster without.

# A trace is made of so many objects that Python would spend a fifth of the time looking for cycles in them.
gc.set_threshold(200_000, 50, 100)

# Every example may compile several programs: no deadline, and the same examples in every run.
hypothesis.settings.register_profile("zoo", deadline=None, derandomize=True, max_examples=16)
hypothesis.settings.load_profile("zoo")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run what takes minutes as well, such as tests/faults")


@pytest.hookimpl(trylast=True)  # after whoever marks tests as slow
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="needs --slow"))


@pytest.fixture
def float64():
    """Computes in float64 within the test."""
    with jax.enable_x64(True):
        yield
