"""CIFAR-10 from TensorFlow Datasets (TFDS), downloaded and prepared without TensorFlow, held in memory.

A data set that TFDS has already prepared is used as it is. Otherwise TFDS fetches the official archive (or takes the
user's copy of it), checks its sha256 and writes ArrayRecord files; the three steps for which TFDS needs TensorFlow
(unpack, read, encode PNG) are done here instead. The decoded images are kept in the user's cache directory, from
which the next start reads them in a fraction of a second.

Source: Alex Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data import archives, array_cache, tfds_source
from zoo.data.dataset import ArraySplit, Dataset, DataUnavailableError

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

_VERSION = "3.0.2"
_ARCHIVE = "cifar-10-binary.tar.gz"


def load(directory: Path | None = None) -> Dataset:
    """CIFAR-10: 50,000 training and 10,000 test images of 32×32 pixels in ten classes, in TFDS's order.

    Args:
        directory: TFDS's data directory, in which the data set is, or will be, `cifar10/3.0.2`; None for TFDS's
            default. A copy of the official archive in `downloads/manual` below it is used instead of the network.

    Raises:
        DataUnavailableError: if the data set is not there and cannot be prepared. The message says what to do.
    """
    directory = (directory or tfds_source.default_directory()).expanduser()
    prepared = directory / "cifar10" / _VERSION
    if not (prepared / "dataset_info.json").exists():  # TFDS writes a directory under another name, then renames it.
        _prepare(directory, prepared)
    cache, fingerprint = _name_of_cache(prepared), _fingerprint(prepared)
    arrays = array_cache.read(cache, fingerprint)
    if arrays is None:
        arrays = _decode(directory, prepared)
        array_cache.write(cache, fingerprint, arrays, "CIFAR-10")
    return Dataset(
        name="CIFAR-10",
        class_names=tuple(arrays["class_names"].tolist()),
        image_size=32,
        train=ArraySplit(arrays["train_images"], arrays["train_labels"]),
        test=ArraySplit(arrays["test_images"], arrays["test_labels"]),
        mean=MEAN,
        std=STD,
    )


def _prepare(directory: Path, prepared: Path) -> None:
    """Has TFDS write the data set, from the archive that is on disk already or else from the network."""
    if prepared.exists():
        raise DataUnavailableError(f"{prepared} is there, but is no prepared data set. Remove it to have it prepared.")
    otherwise = (
        f"--data.directory DIR, if DIR/cifar10/{_VERSION} is a copy that TFDS prepared as ArrayRecord",
        "--data.name shapes, which needs no files",
    )
    (archive,) = archives.fetch("CIFAR-10", "cifar10", [_ARCHIVE], directory, otherwise)
    print(f"Preparing CIFAR-10 in {prepared} (once)", file=sys.stderr)
    try:
        _builder_class(archive)(data_dir=directory, file_format="array_record").download_and_prepare()
    except (OSError, RuntimeError) as error:  # ArrayRecord's are RuntimeErrors.
        if not (prepared / "dataset_info.json").exists():  # Otherwise another process was faster.
            raise DataUnavailableError(
                f"CIFAR-10 cannot be prepared in {prepared}: {' '.join(str(error).split())}"
            ) from error


def _builder_class(archive: Path) -> Any:
    """TFDS's own `cifar10` (same version, features, ids and order) with the TensorFlow taken out, from its archive."""
    import tensorflow_datasets as tfds
    from PIL import Image

    base = tfds.builder_cls("cifar10")  # Before the next block: the first call registers TFDS's builders.
    with tfds.core.registered.skip_registration():

        class Cifar10(base):  # type: ignore[misc, valid-type]
            def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
                info = self._cifar_info
                with tarfile.open(archive) as files:

                    def read(name: str) -> bytes:
                        file = files.extractfile(info.prefix + name)
                        assert file is not None
                        return file.read()

                    self.info.features["label"].names = read(info.label_files[0]).decode().split()
                    train, test = (b"".join(map(read, names)) for names in (info.train_files, info.test_files))
                return {
                    "train": self._generate_examples("train_", train),
                    "test": self._generate_examples("test_", test),
                }

            def _generate_examples(self, prefix: str, records: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
                # A record is one byte of label and 3 × 32 × 32 bytes of pixels, channel by channel.
                for index, record in enumerate(np.frombuffer(records, np.uint8).reshape(-1, 1 + 3 * 32 * 32)):
                    pixels = np.ascontiguousarray(record[1:].reshape(3, 32, 32).transpose(1, 2, 0))
                    png = io.BytesIO()
                    Image.fromarray(pixels).save(png, "PNG")
                    yield index, {"id": f"{prefix}{index:05d}", "image": png.getvalue(), "label": int(record[0])}

            # What TFDS prints here ("Downloading ...") is untrue: the archive is there.
            def _log_download_bytes(self) -> None: ...

            def _log_download_done(self) -> None: ...

    return Cifar10


def _decode(directory: Path, prepared: Path) -> dict[str, np.ndarray]:
    """Reads the prepared data set into arrays, which takes some ten seconds."""
    builder = tfds_source.open_prepared("cifar10", directory)
    arrays = {"class_names": np.array(builder.info.features["label"].names)}
    for split in ("train", "test"):
        try:
            source = builder.as_data_source(split)
            images = np.empty((len(source), 32, 32, 3), np.uint8)
            labels = np.empty(len(source), np.int32)
            for start in range(0, len(source), 1000):  # In bulk: one by one takes half as long again.
                examples = source.__getitems__(range(start, min(start + 1000, len(source))))
                images[start : start + 1000] = [example["image"] for example in examples]
                labels[start : start + 1000] = [example["label"] for example in examples]
        except Exception as error:  # The readers of ArrayRecord, protobuf and PNG share no class of errors.
            raise tfds_source.damaged(prepared, error) from None
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


def _name_of_cache(prepared: Path) -> str:
    """One for each prepared directory, so that a new version of the data replaces the old one."""
    return f"cifar10-{hashlib.sha256(str(prepared.resolve()).encode()).hexdigest()[:16]}"


def _fingerprint(prepared: Path) -> bytes:
    """Tells one prepared data set from another in the same place."""
    info = prepared / "dataset_info.json"
    written = str(info.stat().st_mtime_ns).encode()
    return hashlib.sha256(written + info.read_bytes()).digest()
