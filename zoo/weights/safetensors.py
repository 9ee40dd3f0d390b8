"""Safetensors files of the zoo: written whole or not at all, with what a reader needs to trust them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax import nnx

from zoo.weights.numerics import Numerics

_CHECKSUMS = "crc32"


def save_weights(model: nnx.Module, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Writes the parameters and batch statistics of a model, atomically.

    A tensor is named by the way to it, as in `stages.0.1.depthwise.conv.kernel`. The file also says how the model
    computes with them (`Numerics`), and has a checksum for each tensor.

    Args:
        model: any NNX model.
        path: of the file.
        metadata: texts to keep in the file's header.
    """
    tensors = {name: np.asarray(variable[...]) for name, variable in variables(model).items()}
    write_tensors(path, tensors, {**(metadata or {}), "numerics": Numerics.of(model).to_json()})


def variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    """The parameters and batch statistics of a model under the names that they have in a file."""
    state = nnx.state(model, (nnx.Param, nnx.BatchStat))
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file, atomically, with a checksum of each tensor in its header."""
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    checksums = {name: zlib.crc32(tensor.tobytes()) for name, tensor in contiguous.items()}
    path = Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    save_file(contiguous, unfinished, {**metadata, _CHECKSUMS: json.dumps(checksums)})
    os.replace(unfinished, path)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, of the zoo's or any other.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or tensors are not those that were written; all are listed.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    checksums = json.loads(metadata.pop(_CHECKSUMS, "{}"))
    changed = [
        name
        for name, checksum in checksums.items()
        if name in tensors and zlib.crc32(np.ascontiguousarray(tensors[name]).tobytes()) != checksum
    ]
    if changed:
        raise ValueError(f"{path} was changed after it was written, by the checksums of {', '.join(sorted(changed))}")
    return tensors, metadata
