from __future__ import annotations

import http.server
import io
import resource
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.archive_host import register
from zoo.data import archives
from zoo.data.archives import unpack
from zoo.data.dataset import DataUnavailableError

FILES = {"set/pictures/a.txt": b"a", "set/pictures/more/b.txt": 50_000 * b"b", "set/others/c.txt": b"c"}
SECOND = {"set/lists/all.txt": b"a b"}
NAMES = ("first.tar", "second.tar.gz")


def pack(files: dict[str, bytes], mode: Any = "w") -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode=mode) as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()


class Host:
    """Serves the official archives, or what is put in their place."""

    def __init__(self, official: dict[str, bytes]) -> None:
        self.official, self.contents, self.status, self.length = official, dict(official), 200, None
        self.asked: list[str] = []

    def put_in_manual_folder(self, directory: Path) -> None:
        manual = directory / "downloads" / "manual"
        manual.mkdir(parents=True)
        for name, content in self.contents.items():
            (manual / name).write_bytes(content)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """This machine, as the archives' host."""
    served = Host({NAMES[0]: pack(FILES), NAMES[1]: pack(SECOND, "w:gz")})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            served.asked.append(name)
            self.send_response(served.status)
            self.send_header("Content-Length", str(served.length or len(served.contents[name])))
            self.end_headers()
            self.wfile.write(served.contents[name])

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    register(monkeypatch, "voc", f"http://127.0.0.1:{server.server_port}", served.official)
    yield served
    server.shutdown()
    server.server_close()


def prepare(directory: Path) -> dict[str, bytes]:
    """What is in the prepared directory."""
    prepared = directory / "small" / "pictures"
    unpack("Small", "voc", NAMES, ["set/pictures", "set/lists"], prepared)
    assert list(prepared.parent.iterdir()) == [prepared]  # and nothing unfinished beside it
    return {str(path.relative_to(prepared)): path.read_bytes() for path in prepared.rglob("*") if path.is_file()}


WANTED = {name: content for name, content in (FILES | SECOND).items() if "others" not in name}


def test_download(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(tmp_path) == WANTED
    err = capsys.readouterr().err
    assert f"Downloading Small, 0 MiB, to {tmp_path}/downloads (once)" in err
    assert f"Unpacking Small in {tmp_path}/small/pictures (once)" in err
    host.asked.clear()
    assert prepare(tmp_path) == WANTED
    assert (host.asked, capsys.readouterr().err) == ([], "")
    (tmp_path / "small" / "pictures").rename(tmp_path / "elsewhere")
    assert prepare(tmp_path) == WANTED  # from the archives that were downloaded
    assert host.asked == []
    assert "ownloading" not in capsys.readouterr().err


def test_archives_in_the_manual_folder(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host.put_in_manual_folder(tmp_path)
    assert prepare(tmp_path) == WANTED
    assert host.asked == []
    assert "ownloading" not in capsys.readouterr().err


def test_what_is_not_in_the_manual_folder_is_downloaded(host: Host, tmp_path: Path) -> None:
    host.put_in_manual_folder(tmp_path)
    (tmp_path / "downloads" / "manual" / NAMES[0]).unlink()
    assert prepare(tmp_path) == WANTED
    assert set(host.asked) == {NAMES[0]}


def test_wrong_archive_in_the_manual_folder(host: Host, tmp_path: Path) -> None:
    host.contents[NAMES[1]] = b"another"
    host.put_in_manual_folder(tmp_path)
    with pytest.raises(DataUnavailableError, match=r"manual/second\.tar\.gz \(7 bytes\) is not the official .*sha256"):
        prepare(tmp_path)
    assert not (tmp_path / "small").exists()
    (tmp_path / "downloads" / "manual" / NAMES[1]).write_bytes(host.official[NAMES[1]])
    assert prepare(tmp_path) == WANTED


@pytest.mark.parametrize(
    ("cut", "length", "message"), [(1000, None, r"first\.tar sent is not the official"), (1000, 5000, "broke off")]
)
def test_wrong_download(host: Host, tmp_path: Path, cut: int, length: int | None, message: str) -> None:
    host.contents[NAMES[0]], host.length = host.official[NAMES[0]][:cut], length
    with pytest.raises(DataUnavailableError, match=message):
        prepare(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    host.contents, host.length = host.official, None
    assert prepare(tmp_path) == WANTED


def test_the_host_has_an_error(host: Host, tmp_path: Path) -> None:
    host.status = 503
    with pytest.raises(DataUnavailableError, match="cannot be downloaded: 503") as caught:
        prepare(tmp_path)
    message = str(caught.value)
    for name in NAMES:
        assert f"/{name}, at {tmp_path}/downloads/manual/{name}\n" in message
    assert "--data.directory DIR, if DIR/small/pictures is there" in message
    assert "--data.name scenes" in message


def no_connection(*_: Any, **__: Any) -> Any:
    import requests

    raise requests.ConnectionError("no route to host")


def no_answer(*_: Any, **__: Any) -> Any:
    threading.Event().wait()


@pytest.mark.parametrize(
    ("answer", "reason"), [(no_connection, r"no connection to .*ConnectionError"), (no_answer, r"no answer from .*")]
)
@pytest.mark.usefixtures("host")
def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any], reason: str) -> None:
    monkeypatch.setattr("requests.get", answer)
    monkeypatch.setattr(archives, "_PATIENCE", 0.2)
    with pytest.raises(DataUnavailableError, match=reason):
        prepare(tmp_path)


def test_what_would_leave_the_directory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harmful = Host({NAMES[0]: pack(FILES | {"set/pictures/../../../../escaped": b""}), NAMES[1]: pack(SECOND, "w:gz")})
    register(monkeypatch, "voc", "http://127.0.0.1:1", harmful.official)
    harmful.put_in_manual_folder(tmp_path)
    with pytest.raises(DataUnavailableError, match=r"Small cannot be unpacked in .*small/pictures: .*escaped"):
        prepare(tmp_path)
    assert list(tmp_path.rglob("escaped")) == list((tmp_path / "small").iterdir()) == []


def test_a_full_disk_while_unpacking_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.put_in_manual_folder(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(DataUnavailableError, match=r"Small cannot be unpacked in .*File too large"):
            prepare(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "small").iterdir()) == []
    assert prepare(tmp_path) == WANTED


def test_another_process_that_was_faster(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.put_in_manual_folder(tmp_path)
    fetch = archives.fetch

    def slowly(*arguments: Any) -> list[Path]:
        paths = fetch(*arguments)
        monkeypatch.setattr(archives, "fetch", fetch)
        prepare(tmp_path)
        return paths

    monkeypatch.setattr(archives, "fetch", slowly)
    assert prepare(tmp_path) == WANTED
