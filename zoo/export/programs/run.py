"""Loads an exported net and runs it, in a process that has no `zoo`, as those do who have only its file.

    python run.py FORMAT FILE INPUTS.npz RESULTS.npz

The results are `output0` and so on, one for each of the inputs; `seconds`, the median time of the first image alone;
and `runtime`, what the net was run by.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

_CALLS, _SECONDS = 100, 2.0  # of the measurement, at the most

Run = Callable[[np.ndarray], np.ndarray]


def load_stablehlo(path: str) -> tuple[Run, str]:
    import jax
    from jax import export

    with open(path, "rb") as file:
        net = export.deserialize(bytearray(file.read()))
    run = jax.jit(net.call)
    return lambda images: np.asarray(run(images)), f"jax {jax.__version__}"


def load_litert(path: str) -> tuple[Run, str]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=os.cpu_count()).get_signature_runner()
    (name,), (output,) = runner.get_input_details(), runner.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        return np.concatenate([runner(**{name: image[None]})[output] for image in images])

    return run, f"ai-edge-litert {version('ai-edge-litert')}"


def load_onnx(path: str) -> tuple[Run, str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        (outputs,) = session.run(None, {session.get_inputs()[0].name: images})
        return np.asarray(outputs)

    return run, f"onnxruntime {onnxruntime.__version__}"


def seconds_of(run: Run, image: np.ndarray) -> float:
    """The median time of a call, after one that is not counted."""
    run(image)
    times: list[float] = []
    while len(times) < _CALLS and sum(times) < _SECONDS:
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(form: str, path: str, inputs: str, results: str) -> None:
    sys.modules["zoo"] = None  # type: ignore[assignment]  # as if it were not installed
    run, runtime = {"stablehlo": load_stablehlo, "litert": load_litert, "onnx": load_onnx}[form](path)
    with np.load(inputs) as arrays:
        batches = [arrays[name] for name in arrays.files]
    found: dict[str, Any] = {f"output{number}": run(batch) for number, batch in enumerate(batches)}
    np.savez(results, **found, seconds=seconds_of(run, batches[0][:1]), runtime=runtime)


if __name__ == "__main__":
    main(*sys.argv[1:])
