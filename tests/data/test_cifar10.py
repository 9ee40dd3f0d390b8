from __future__ import annotations

import io
import json
import resource
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.archive_host import register
from zoo.data import archives, cifar10
from zoo.data.dataset import ArraySplit, Dataset, DataUnavailableError

ARCHIVE = "cifar-10-binary.tar.gz"
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Archive:
    """A small archive in the form of the official one, and what is in it."""

    content: bytes
    train: ArraySplit
    test: ArraySplit


def make_archive() -> Archive:
    rng = np.random.default_rng(0)
    files = {"batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n"}
    images: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        images[name] = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
        labels[name] = rng.integers(0, 10, 3, np.uint8)
        planes = images[name].transpose(0, 3, 1, 2).reshape(3, -1)
        files[name] = np.concatenate([labels[name][:, None], planes], axis=1).tobytes()
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        splits = [
            ArraySplit(
                np.concatenate([images[n] for n in names]), np.concatenate([labels[n] for n in names], dtype="i4")
            )
            for names in ([name for name in images if "data" in name], ["test_batch.bin"])
        ]
        return Archive(buffer.getvalue(), *splits)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Archive:
    """The small archive, which TFDS takes for the official one. The cache is in `tmp_path`."""
    small = make_archive()
    register(monkeypatch, "cifar10", "https://127.0.0.1:1", {ARCHIVE: small.content})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return small


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of the network is an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def put_in_manual_folder(directory: Path, content: bytes) -> Path:
    path = directory / "downloads" / "manual" / ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def check(dataset: Dataset, archive: Archive) -> None:
    """TFDS shuffles the examples: they must be the archive's, whatever their order."""
    assert dataset.class_names == NAMES
    assert dataset.image_size == 32
    for split, expected in ((dataset.train, archive.train), (dataset.test, archive.test)):
        assert isinstance(split, ArraySplit)
        found, wanted = (
            sorted((image.tobytes(), int(label)) for image, label in zip(s.images, s.labels, strict=True))
            for s in (split, expected)
        )
        assert found == wanted


def test_version_is_that_of_tfds() -> None:
    import tensorflow_datasets as tfds

    assert str(tfds.builder_cls("cifar10").VERSION) == cifar10._VERSION


@pytest.mark.usefixtures("offline")
def test_archive_in_the_manual_folder(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_manual_folder(tmp_path, archive.content)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    first = cifar10.load()
    check(first, archive)
    out, err = capsys.readouterr()
    assert f"Preparing CIFAR-10 in {tmp_path}/cifar10/3.0.2" in err
    assert "ownloading" not in out + err
    monkeypatch.setattr(cifar10, "_decode", None)  # From here on the cache must do.
    second = cifar10.load(tmp_path)
    np.testing.assert_array_equal(second.train.images, first.train.images)  # type: ignore[attr-defined]
    check(second, archive)


def test_the_announced_size_is_the_official_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archives, "why_unreachable", lambda url: f"{url} is not asked in tests")
    with pytest.raises(DataUnavailableError, match=r"https://www\.cs\.toronto\.edu/.* is not asked in tests") as caught:
        cifar10.load(tmp_path)
    assert "162 MiB" in capsys.readouterr().err
    message = str(caught.value)
    assert str(tmp_path / "downloads" / "manual" / ARCHIVE) in message
    assert "--data.directory DIR, if DIR/cifar10/3.0.2" in message
    assert "--data.name shapes" in message
    assert not (tmp_path / "cifar10").exists()


def test_wrong_archive_in_the_manual_folder(archive: Archive, tmp_path: Path) -> None:
    put_in_manual_folder(tmp_path, archive.content[:1000])
    with pytest.raises(DataUnavailableError, match=r"\(1,000 bytes\) is not the official archive.*sha256"):
        cifar10.load(tmp_path)
    assert not (tmp_path / "cifar10").exists()
    put_in_manual_folder(tmp_path, archive.content)
    check(cifar10.load(tmp_path), archive)


def test_a_directory_that_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    with pytest.raises(DataUnavailableError, match=r"cifar10/3\.0\.2 is there, but is no prepared data set"):
        cifar10.load(tmp_path)


def test_prepared_data_in_another_format_or_damaged(archive: Archive, tmp_path: Path) -> None:
    put_in_manual_folder(tmp_path, archive.content)
    prepared = tmp_path / "cifar10" / "3.0.2"
    cifar10._prepare(tmp_path, prepared)
    info, records = prepared / "dataset_info.json", prepared / "cifar10-test.array_record-00000-of-00001"
    sound = info.read_text()
    info.write_text(json.dumps(json.loads(sound) | {"fileFormat": "tfrecord"}))
    with pytest.raises(DataUnavailableError, match="prepared as tfrecord"):
        cifar10.load(tmp_path)
    info.write_text(sound)
    records.write_bytes(records.read_bytes()[:1000])
    with pytest.raises(DataUnavailableError, match=r"cifar10/3\.0\.2 is damaged"):
        cifar10.load(tmp_path)


@pytest.fixture
def cached(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache file of the small data set, which is prepared in `tmp_path` and now decoded without TFDS."""
    put_in_manual_folder(tmp_path, archive.content)
    cifar10.load(tmp_path)
    (file,) = (tmp_path / "cache" / "zoo").iterdir()  # and nothing beside it
    splits = {"train": archive.train, "test": archive.test}
    arrays = {f"{name}_images": split.images for name, split in splits.items()}
    arrays |= {f"{name}_labels": split.labels for name, split in splits.items()}
    monkeypatch.setattr(cifar10, "_decode", lambda *_: {"class_names": np.array(NAMES), **arrays})
    return file


def test_data_prepared_anew_replaces_the_cache(archive: Archive, tmp_path: Path, cached: Path) -> None:
    before = cached.read_bytes()
    (tmp_path / "cifar10" / "3.0.2" / "dataset_info.json").touch()
    check(cifar10.load(tmp_path), archive)
    assert [cached] == list(cached.parent.iterdir())
    assert cached.read_bytes() != before


def test_a_full_disk_while_preparing_is_one_line(archive: Archive, tmp_path: Path) -> None:
    put_in_manual_folder(tmp_path, archive.content)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(DataUnavailableError, match=r"CIFAR-10 cannot be prepared in .*cifar10/3\.0\.2: "):
            cifar10.load(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "cifar10").iterdir()) == []
    check(cifar10.load(tmp_path), archive)
