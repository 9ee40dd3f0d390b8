from __future__ import annotations

import hashlib
import http.server
import io
import json
import resource
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.data import archives, cifar10
from zoo.data.dataset import ArraySplit, Dataset, DataUnavailableError

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
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.core.utils import Size

    small = make_archive()
    digest = hashlib.sha256(small.content).hexdigest()
    info = checksums.UrlInfo(Size(len(small.content)), digest, "cifar-10-binary.tar.gz")
    known = {"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": info}
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: known)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return small


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of the network is an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def serve(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes this machine the archive's host: `serve(content, status, announced length)`."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums

    answer: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer["status"])
            self.send_header("Content-Length", answer["length"])
            self.end_headers()
            self.wfile.write(answer["content"])

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    builder = tfds.builder_cls("cifar10")
    info = builder._cifar_info.fget(type("Named", (), {"name": "cifar10"}))
    url = f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"
    monkeypatch.setattr(builder, "_cifar_info", info._replace(url=url))
    known = checksums.get_all_url_infos()
    known[url] = known[info.url]

    def start(content: bytes, status: int = 200, length: int | None = None) -> None:
        answer.update(content=content, status=status, length=str(len(content) if length is None else length))

    yield start
    server.shutdown()
    server.server_close()


def put_in_manual_folder(directory: Path, content: bytes) -> Path:
    path = directory / "downloads" / "manual" / "cifar-10-binary.tar.gz"
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


def test_download(
    archive: Archive, serve: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(archive.content)
    check(cifar10.load(tmp_path), archive)
    assert f"Downloading CIFAR-10, 0 MiB, to {tmp_path}/downloads" in capsys.readouterr().err


def test_an_archive_downloaded_earlier_is_used(
    archive: Archive, serve: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(archive.content)
    cifar10.load(tmp_path)
    shutil.rmtree(tmp_path / "cifar10")
    capsys.readouterr()
    serve(b"", status=503)
    check(cifar10.load(tmp_path), archive)
    assert "ownloading" not in capsys.readouterr().err


def test_the_announced_size_is_the_official_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archives, "why_unreachable", lambda url: f"{url} is not asked in tests")
    with pytest.raises(DataUnavailableError, match=r"https://www\.cs\.toronto\.edu/.* is not asked in tests"):
        cifar10.load(tmp_path)
    assert "162 MiB" in capsys.readouterr().err


def no_connection(*_: Any, **__: Any) -> Any:
    import requests

    raise requests.ConnectionError("no route to host")


def no_answer(*_: Any, **__: Any) -> Any:
    threading.Event().wait()


@pytest.mark.parametrize(
    ("answer", "reason"), [(no_connection, r"no connection to .*ConnectionError"), (no_answer, r"no answer from .*")]
)
def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any], reason: str) -> None:
    monkeypatch.setattr("requests.get", answer)
    monkeypatch.setattr(archives, "_PATIENCE", 0.2)
    start = time.monotonic()
    with pytest.raises(DataUnavailableError, match=reason) as caught:
        cifar10.load(tmp_path)
    assert time.monotonic() - start < 4
    message = str(caught.value)
    assert str(tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz") in message
    assert "--data.directory" in message
    assert "--data.name shapes" in message
    assert not (tmp_path / "cifar10").exists()


def test_the_host_has_an_error(archive: Archive, serve: Callable[..., None], tmp_path: Path) -> None:
    serve(b"", status=503)
    with pytest.raises(DataUnavailableError, match="cannot be downloaded: 503"):
        cifar10.load(tmp_path)


@pytest.mark.parametrize("content", ["truncated", "another"])
def test_wrong_archive_in_the_manual_folder(archive: Archive, tmp_path: Path, content: str) -> None:
    wrong = archive.content[:1000] if content == "truncated" else archive.content[:-1] + b"?"
    put_in_manual_folder(tmp_path, wrong)
    with pytest.raises(DataUnavailableError, match=rf"\({len(wrong):,} bytes\) is not the official archive.*sha256"):
        cifar10.load(tmp_path)
    assert list((tmp_path / "cifar10").iterdir()) == []
    put_in_manual_folder(tmp_path, archive.content)
    check(cifar10.load(tmp_path), archive)


@pytest.mark.parametrize(
    ("cut", "length", "message"), [(1000, None, "is not the official archive"), (1000, 5000, "broke off")]
)
def test_wrong_download(
    archive: Archive, serve: Callable[..., None], tmp_path: Path, cut: int, length: int | None, message: str
) -> None:
    serve(archive.content[:cut], length=length)
    with pytest.raises(DataUnavailableError, match=message):
        cifar10.load(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    serve(archive.content)
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
