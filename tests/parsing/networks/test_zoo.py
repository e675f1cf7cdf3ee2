"""The zoo against a server on the loopback: cuts, wrong hashes, refusals, redirects, lies; nothing half-written stays."""

from __future__ import annotations

import fcntl
import hashlib
import io
import logging
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from parsing.errors import InputError
from parsing.networks import zoo
from parsing.networks.download import download
from parsing.networks.weights import read_header, sha256_of, weights_path

CONTENT = bytes(range(256)) * 2**12  # 16 times what is read at once
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers each request by the next of `plan`, the last one for ever; `asked` are the ranges that were asked for."""

    def __init__(self, *plan: str, content: bytes = CONTENT) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan, self.content, self.asked = list(plan), content, list[str | None]()
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Any

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        what = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        server.asked.append(self.headers["Range"])
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] else 0
        self.close_connection = True
        if what.isdigit():
            self.send_error(int(what))
        elif what == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
        elif start >= len(server.content):
            self.send_error(416)
        else:
            self.give(what, start)

    def give(self, what: str, start: int) -> None:
        start = 0 if what in ("no ranges", "no ranges, cut") else start
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + (what == 'another part')}-{start + len(body) - 1}/{start + len(body)}")
        lengths = {"claims more": len(body) + 999, "claims less": len(body) // 2, "claims much": 10**15}
        if what != "no length":
            self.send_header("Content-Length", str(lengths.get(what, len(body))))
        self.send_header("Content-Type", "text/html; charset=utf-8" if what == "web page" else "application/octet-stream")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if "cut" in what else body)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARTWISE_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "home"


PUBLISHED = zoo.find("r2plus1d_18")
HALF = len(CONTENT) // 2


@pytest.mark.parametrize(
    ("plan", "asked"),
    [
        (["whole"], [None]),
        (["no length"], [None]),
        (["redirect", "whole"], [None, None]),
        (["cut", "whole"], [None, f"bytes={HALF}-"]),
        (["cut", "cut", "cut", "whole"], [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-", f"bytes={HALF + HALF // 2 + HALF // 4}-"]),
        (["cut", "no ranges"], [None, f"bytes={HALF}-"]),
        (["claims more"], [None, f"bytes={len(CONTENT)}-"]),  # all came, and the server then says that there is no more
        (["503", "whole"], [None, None]),
    ],
)
def test_downloads(tmp_path: Path, plan: list[str], asked: list[str | None]) -> None:
    with Server(*plan) as server:
        download(server.url, tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == asked
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    ("plan", "message", "left"),
    [
        (["404"], "^the server answers 404 Not Found$", []),
        (["503"], "^the server answers 503 Service Unavailable$", []),
        (["web page"], "^a web page came instead of the file; a proxy or a sign-in page may stand between$", []),
        (["redirect"], r"^no connection \(TooManyRedirects\)$", []),
        (["claims much"], "^1,000,000,000 MB are to come, at most 17,180 are taken and [0-9,]+ are free$", []),
        (["claims less"], "^file.bin.part: its sha256 begins with .{8}, expected .+: another file, or a damaged one$", []),
        (["cut", "another part"], "^the server answers with another part of the file than was asked for$", ["file.bin.part"]),
        (["no ranges, cut"], r"^cut off \(ChunkedEncodingError\); the next call goes on after 524,288 bytes$", ["file.bin.part"]),
    ],
)
def test_downloads_that_fail(tmp_path: Path, plan: list[str], message: str, left: list[str]) -> None:
    with Server(*plan) as server, pytest.raises(InputError, match=message):
        download(server.url, tmp_path / "file.bin", SHA256)
    assert [path.name for path in tmp_path.iterdir()] == left


def test_another_file_than_expected_is_removed(tmp_path: Path) -> None:
    with Server("whole") as server:
        for digits in ("00000000", SHA256[:7] + "x"):
            with pytest.raises(InputError, match=f"its sha256 begins with {SHA256[:8]}, expected {digits}"):
                download(server.url, tmp_path / "file.bin", digits)
            assert not list(tmp_path.iterdir())
        download(server.url, tmp_path / "file.bin", SHA256[:8])


def test_the_next_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:100])
    with Server("whole") as server:
        download(server.url, tmp_path / "file.bin", SHA256)
        assert server.asked == ["bytes=100-"]
        (tmp_path / "file.bin.part").write_bytes(CONTENT)  # a process that was killed before the last step
        download(server.url, tmp_path / "file.bin", SHA256)


def test_nobody_answers_and_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server("whole") as server:
        pass
    with pytest.raises(InputError, match=r"^no connection \(ConnectionError\)$"):
        download(server.url, tmp_path / "file.bin", "")
    with Server("whole") as server:
        monkeypatch.setenv("PARTWISE_OFFLINE", "1")
        with pytest.raises(InputError, match="the network is not asked"):
            download(server.url, tmp_path / "file.bin", "")
        assert not server.asked
        monkeypatch.setenv("PARTWISE_OFFLINE", "0")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        download("http://127.0.0.2:9/file.bin", tmp_path / "file.bin", SHA256)  # which only the proxy can have answered
        assert server.asked == [None]


def entry(url: str, content: bytes, **changed: str) -> zoo.Entry:
    """A recognizer of torchvision's R(2+1)D-18 of four classes, under another name and place."""
    digits = hashlib.sha256(content).hexdigest()[:8]
    return replace(PUBLISHED, name="mine", url=url, sha256=digits, **{"labels": "", **changed})


def serve(monkeypatch: pytest.MonkeyPatch, found: zoo.Entry) -> None:
    monkeypatch.setattr(zoo, "entries", lambda: {found.name: found})


@pytest.fixture(scope="session")
def checkpoint() -> bytes:
    """As torchvision saves it, with random weights; 400 classes."""
    from torchvision.models.video import r2plus1d_18

    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save({name: value.half() if value.is_floating_point() else value for name, value in r2plus1d_18().state_dict().items()}, buffer)
    return buffer.getvalue()


def test_weights_by_name(checkpoint: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server("cut", "whole", content=checkpoint) as server:
        serve(monkeypatch, entry(server.url, checkpoint, labels="kinetics400"))
        assert weights_path("zoo/mine") == cache / "zoo" / "mine.safetensors"
        assert not server.asked  # a name alone downloads nothing
        header = read_header("zoo/mine", "r2plus1d")
    assert header.training["sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert header.labels["actions"][0] == "abseiling"
    record = (cache / "zoo" / "mine.safetensors.sha256").read_text()
    assert record == f"{sha256_of('zoo/mine')}  mine.safetensors\n"
    assert not list((cache / "downloads").iterdir())
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    assert read_header("zoo/mine", "r2plus1d") == header


def test_a_file_put_by_hand_stays(checkpoint: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    serve(monkeypatch, entry("https://nowhere.invalid/r.pth", checkpoint, labels="kinetics400"))
    placed = cache / "downloads" / "r.pth"
    with pytest.raises(InputError, match=rf"^zoo/mine: the network is not asked .*; or put https://nowhere\.invalid/r\.pth as {placed}$"):
        zoo.fetch("zoo/mine")
    placed.parent.mkdir(parents=True)
    placed.write_bytes(checkpoint[:-1])
    with pytest.raises(InputError, match=r"^zoo/mine: r\.pth: its sha256 begins with .*: another file, or a damaged one$"):
        zoo.fetch("zoo/mine")
    placed.write_bytes(checkpoint)
    assert zoo.fetch("zoo/mine").is_file()
    assert placed.is_file()


def test_files_that_do_not_fit_leave_no_weights(checkpoint: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, changed, message in (
        (b"", {}, r"r\.pth: not a PyTorch checkpoint, or a damaged one \(it is empty\)$"),
        (checkpoint[: len(checkpoint) // 2], {}, r"r\.pth: not a PyTorch checkpoint, or a damaged one \(its end is missing\)$"),
        (checkpoint, {}, "0 names for 400 classes"),
        (checkpoint, {"labels": "something_v2"}, "174 names for 400 classes"),
        (checkpoint, {"labels": "kinetics400", "target": "video_swin_tiny"}, "not a checkpoint of video_swin_tiny"),
    ):
        serve(monkeypatch, entry("https://nowhere.invalid/r.pth", content, **changed))
        (cache / "downloads").mkdir(parents=True, exist_ok=True)
        (cache / "downloads" / "r.pth").write_bytes(content)
        with pytest.raises(InputError, match=message):
            zoo.fetch("mine")
        assert [path.name for path in (cache / "zoo").iterdir()] == ["mine.safetensors.lock"]


def archive(*members: tuple[str, bytes], packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def test_graphs_come_out_of_their_archive_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(content: bytes) -> Path:
        with Server("whole", content=content) as server:
            serve(monkeypatch, entry(server.url, content, origin="onnx", target="onnx"))
            return zoo.fetch("mine")

    for content in (
        archive(("readme", b"")),
        archive(("a/end2end.onnx", b"1"), ("b/end2end.onnx", b"2")),
        archive(("end2end.onnx", bytes(10**6)), packed=True),
    ):
        with pytest.raises(InputError, match=r"expected an archive with one end2end\.onnx in it"):
            fetched(content)
        (cache / "downloads" / "file.bin").unlink()
    with pytest.raises(InputError, match="not a readable zip archive"):
        fetched(b"PK")
    (cache / "downloads" / "file.bin").unlink()
    made = fetched(archive(("../../slip", b"x"), ("../../end2end.onnx", b"graph"), ("/etc/slip", b"x")))
    assert made.read_bytes() == b"graph"
    assert made == cache / "zoo" / "mine.onnx"
    assert sorted(path.name for path in cache.parent.rglob("*") if path.is_file()) == ["mine.onnx", "mine.onnx.lock", "mine.onnx.sha256"]


PROCESS = """
import sys
from dataclasses import replace
from parsing.networks import zoo
found = replace(zoo.find("yolox_tiny_8xb8-300e_humanart"), name="mine", url=sys.argv[1], target="onnx")
zoo.entries = lambda: {"mine": found}
zoo.fetch("mine")
"""


def test_of_two_processes_one_downloads(cache: Path) -> None:
    with Server("whole", content=archive(("end2end.onnx", b"graph"))) as server:
        command = [sys.executable, "-c", PROCESS, server.url]
        running = [subprocess.Popen(command, env=os.environ, cwd=Path(__file__).parents[3]) for _ in range(2)]
        assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert server.asked == [None]
    assert (cache / "zoo" / "mine.onnx").read_bytes() == b"graph"


def test_names_that_do_not_exist() -> None:
    with pytest.raises(InputError, match=r"^zoo/gfl_r50_fpn_1x: no such entry; did you mean 'gfl_r50_fpn_1x_coco'\?"):
        weights_path("zoo/gfl_r50_fpn_1x")


def test_a_second_process_says_that_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = entry("https://nowhere.invalid/r.pth", b"")
    found.weights.parent.mkdir(parents=True)
    held = Path(f"{found.weights}.lock").open("w")  # noqa: SIM115  # as another process would hold it
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Timer(0.3, held.close).start()
    with zoo._alone(found):
        assert held.closed
    assert "zoo/mine: waiting for another process that fetches it" in caplog.text
