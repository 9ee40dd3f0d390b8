"""Safetensors files of the zoo: written whole or not at all, with what a reader needs to trust them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from zoo.atomic_file import replacing
from zoo.blocks.batch_norm import NumBatches
from zoo.weights.description import check_description, require
from zoo.weights.numerics import Numerics

_KEY, _CHECKSUMS = "zoo", "crc32"
_DESCRIPTION = ""  # whose checksum lies among those of the tensors, which all have names


def save_weights(model: nnx.Module, path: str | os.PathLike[str], description: Mapping[str, Any] | None = None) -> None:
    """Writes the parameters and batch statistics of a model, atomically.

    A tensor is named by the way to it, as in `stages.0.1.depthwise.conv.kernel`. The file also says how the model
    computes with them (`Numerics`), and has a checksum for each tensor.

    Args:
        model: any NNX model.
        path: of the file.
        description: what else to keep in the file's header, as JSON; see `Checkpoint.description`.
    """
    tensors = {name: np.asarray(variable[...]) for name, variable in variables(model).items()}
    write_tensors(path, tensors, {**(description or {}), "numerics": asdict(Numerics.of(model))})


def variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    """The parameters and batch statistics of a model under the names that they have in a file."""
    state = nnx.state(model, nnx.All(nnx.Any(nnx.Param, nnx.BatchStat), nnx.Not(NumBatches)))
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray],
    description: Mapping[str, Any],
    **metadata: str,
) -> None:
    """Writes a safetensors file, atomically, with checksums of each tensor and of the description in its header.

    The same content gives the same bytes, if there is no other metadata: safetensors writes several in any order.

    Args:
        path: of the file.
        tensors: by name.
        description: to keep in the header as JSON, under the key `zoo`.
        **metadata: texts to keep in the header beside it.

    Raises:
        OSError: if the file cannot be written; it names the file.
    """
    from safetensors.numpy import save

    description = check_description(json.loads(json.dumps(description)), path)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    checksums = {name: zlib.crc32(tensor.tobytes()) for name, tensor in contiguous.items()}
    checksums[_DESCRIPTION] = _checksum_of(description, checksums)
    # Not save_file(), whose errors do not name the file, and whose file nobody else can read.
    content = save(contiguous, {_KEY: json.dumps({**description, _CHECKSUMS: checksums}), **metadata})
    with replacing(Path(path)) as unfinished:
        unfinished.write_bytes(content)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of a safetensors file, and the description in its header, which is empty if it is not the zoo's.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, its description has another form than `check_description` knows, or tensors
            are not those that were written; all are listed.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except (SafetensorError, AttributeError) as error:  # the latter for types that NumPy lacks, such as float8
        raise ValueError(f"{path} is no whole safetensors file: {' '.join(str(error).split())}") from error
    description, checksums = _read_header(metadata.get(_KEY, "{}"), path)
    changed = [
        name
        for name, tensor in tensors.items()
        if name in checksums and zlib.crc32(np.ascontiguousarray(tensor).tobytes()) != checksums[name]
    ]
    if changed:
        raise ValueError(f"{path} was changed after it was written, by the checksums of {', '.join(sorted(changed))}")
    return tensors, description


def _read_header(text: str, path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, int]]:
    """The description and the checksums in a header."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: the description is no JSON: {error}") from error
    require(isinstance(content, dict), path, "the description", content, "a mapping")
    if not content:
        return {}, {}
    checksums = content.pop(_CHECKSUMS, None)
    require(isinstance(checksums, dict), path, _CHECKSUMS, checksums, "a mapping from tensors to checksums")
    own = checksums.pop(_DESCRIPTION, None)
    if own is not None and own != _checksum_of(content, checksums):
        raise ValueError(f"{path} was changed after it was written, by the checksum of its description")
    return check_description(content, path), checksums


def _checksum_of(description: Mapping[str, Any], checksums: Mapping[str, int]) -> int:
    return zlib.crc32(json.dumps([description, checksums], sort_keys=True).encode())
