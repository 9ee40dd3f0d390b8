"""Fetching from a server on this machine in the place of torchvision's and of Hugging Face's."""

from __future__ import annotations

import hashlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import zoo
from zoo.published import TorchvisionWeights
from zoo.weights import fetched, timm, torchvision
from zoo.weights.unavailable import WeightsUnavailableError

CONTENT = bytes(range(256)) * 20_000
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]
GENUINE = TorchvisionWeights("Net_Weights.V1", f"net-{DIGITS}.pth")


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Gives `CONTENT` for every file, or what a test sets; waits for two requests if a test says so."""

    class Handler(BaseHTTPRequestHandler):
        content, length, together = CONTENT, len(CONTENT), threading.Barrier(1)

        def do_GET(self):
            self.together.wait()
            self.send_response(200)
            self.send_header("Content-Length", str(self.length))
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(torchvision, "_ADDRESS", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield Handler
        server.shutdown()
        thread.join()


def files(tmp_path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def test_a_fetched_file_is_kept(server, tmp_path):
    path = torchvision.fetch(GENUINE)
    assert path.read_bytes() == CONTENT
    server.content = b""
    assert torchvision.fetch(GENUINE) == path, "the second time it comes from the cache"
    assert files(tmp_path) == [GENUINE.file]


def test_what_is_not_what_its_name_says_is_not_kept(server, tmp_path):
    server.content, server.length = b"others", 6
    with pytest.raises(ValueError, match=f"gave a file with SHA-256 .*, which must begin with {DIGITS}"):
        torchvision.fetch(GENUINE)
    assert files(tmp_path) == []


def test_a_connection_that_breaks_off_leaves_nothing(server, tmp_path):
    server.content = CONTENT[:1000]
    with pytest.raises(WeightsUnavailableError, match="cannot fetch"):
        torchvision.fetch(GENUINE)
    assert files(tmp_path) == []


def test_two_fetches_at_once_both_end_with_the_whole_file(server, tmp_path):
    server.together = threading.Barrier(2, timeout=30)
    with ThreadPoolExecutor(2) as pool:
        paths = [future.result() for future in [pool.submit(torchvision.fetch, GENUINE) for _ in range(2)]]
    assert [path.read_bytes() == CONTENT for path in paths] == [True, True]
    assert files(tmp_path) == [GENUINE.file]


def test_a_partial_file_of_a_fetch_that_was_killed_is_harmless(server, tmp_path):
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in (f"{GENUINE.file}.unfinished", f"{GENUINE.file}.0123abcd.unfinished"):
        (folder / name).write_bytes(b"half")
    assert torchvision.fetch(GENUINE).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_set_aside_and_fetched_again(server, tmp_path):
    path = torchvision.fetch(GENUINE)
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.warns(UserWarning, match=f"does not begin with {DIGITS}: set aside as {GENUINE.file}.damaged"):
        assert torchvision.fetch(GENUINE).read_bytes() == CONTENT
    assert files(tmp_path) == [GENUINE.file, f"{GENUINE.file}.damaged"]


def test_a_damaged_file_in_hugging_faces_cache_is_set_aside(monkeypatch, tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    folder, blob = tmp_path / "snapshot", tmp_path / digest
    folder.mkdir()
    blob.write_bytes(CONTENT)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _, file, **_options: str(folder / file))
    assert timm.fetch("timm/net") == folder
    blob.write_bytes(CONTENT[1:])
    with pytest.warns(UserWarning, match=f"set aside as {digest}.damaged"):
        assert timm._folder("timm/net") is None
    assert not blob.exists()


def test_hashes_begin_with_the_digits_of_the_name(tmp_path):
    (tmp_path / "w").write_bytes(CONTENT)
    assert fetched.is_whole(tmp_path / "w", DIGITS)


@pytest.mark.parametrize(
    ("package", "weights"),
    [
        ("requests", "torchvision/MobileNet_V2_Weights.IMAGENET1K_V2"),
        ("huggingface_hub", "timm/mobilenetv2_100.ra_in1k"),
    ],
)
def test_without_the_package_that_fetches_the_message_says_what_to_install(monkeypatch, tmp_path, package, weights):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match=rf'takes {package}: `pip install "conv-zoo\[train\]"`\.'):
        zoo.create_model("mobilenet_v2", weights=weights)
