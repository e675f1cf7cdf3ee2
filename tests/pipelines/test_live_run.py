"""Live sources through the whole pipeline: JSON lines, a page, a whole document at the end."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import requests
from builders import ramp, write_video
from rtmp_sender import rtmp_sender
from senders import Stream, tcp_sender

from parsing.document import json_schema, read_parse
from parsing.errors import InputError
from parsing.media.live import LiveSource
from pipelines.parse.live import Delays, LiveOptions
from pipelines.parse.parser import VideoParser
from pipelines.parse.serve import Page
from pipelines.parse.sources import plan_jobs
from pipelines.parse.viewers import VideoCopy
from pipelines.run import build_parser, main

ROOT = Path(__file__).parents[2]


def call(tiny: Path, *arguments: object) -> int:
    return main(build_parser().parse_args([*map(str, arguments), "--config", str(tiny), "--device", "cpu"]))


def stream(count: int, **settings: object) -> Stream:
    return Stream([ramp(i % 28) for i in range(count)], **settings)  # type: ignore[arg-type]


def process(tiny: Path, *arguments: object) -> subprocess.Popen[str]:
    """A run in a process of its own, which hears signals."""
    command = [sys.executable, "-m", "pipelines.run", *map(str, arguments), "--config", str(tiny), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heard)


def test_lines_of_a_stream_are_a_parse(tiny_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tcp_sender(stream(40)) as url:
        out = tmp_path / "x.jsonl"
        assert call(tiny_pipeline, url.replace("//", "//me:geheim@"), "--out", out, "--reconnect", 0, "--save-video") == 1  # it was lost
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert list(lines[0]) == ["schema_version", "vocabulary", "models", "video"]
    assert lines[1]["key"] is True
    facts, parse = lines[-1]["video"], read_parse(out)
    assert facts["frames_decoded"] == 40 == facts["frames_dropped"] + len(parse.frames)
    assert lines[-1]["complete"] is False
    assert facts["name"] == url
    assert facts["started_at"].endswith("+00:00")
    errors = capsys.readouterr().err
    assert errors.count("error: ") == 1
    assert "geheim" not in errors + out.read_text()
    assert (tmp_path / "x.parsed.mp4").stat().st_size > 0
    joined = lines[0] | lines[-1] | {"frames": lines[1:-1]}
    jsonschema.validate(joined, json_schema())


def test_rtmp_that_stops_leaves_a_whole_document(tiny_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rtmp_sender(stream(20, paced=False)) as url:
        arguments = ("--out", tmp_path / "x.json", "--no-live", "--reconnect", 0, "--quiet")
        assert call(tiny_pipeline, url.replace("//", "//me:geheim@"), *arguments) == 1
    assert len(read_parse(tmp_path / "x.json").frames) == 20
    assert capsys.readouterr().err == f"error: {url}: the connection broke off; 20 frames had come\n"


def test_every_frame_without_live(tiny_pipeline: Path, tmp_path: Path) -> None:
    with tcp_sender(stream(20, paced=False)) as url:
        call(tiny_pipeline, url, "--out", tmp_path / "x.json", "--no-live", "--reconnect", 0, "--every", 3, "--quiet")
    frames = read_parse(tmp_path / "x.json").frames
    assert [frame.index for frame in frames] == [*range(20)]
    assert [frame.index for frame in frames if frame.key] == [*range(0, 20, 3)]


def test_lines_of_a_file_equal_its_document(tiny_pipeline: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "c.mp4", [ramp(i) for i in range(6)])
    for name in ("p.json", "p.jsonl", "-"):
        assert call(tiny_pipeline, clip, "--out", tmp_path / name if name != "-" else "-", "--quiet") == 0
    document, lines = (read_parse(tmp_path / name).to_json() for name in ("p.json", "p.jsonl"))
    assert document == lines
    assert capfd.readouterr().out == (tmp_path / "p.jsonl").read_text()


@pytest.mark.parametrize(("cut", "num_frames"), [(-1, 6), (-30, 6), (None, 6)])
def test_lines_that_were_cut_off(tiny_pipeline: Path, tmp_path: Path, cut: int | None, num_frames: int) -> None:
    clip = write_video(tmp_path / "c.mp4", [ramp(i) for i in range(6)])
    call(tiny_pipeline, clip, "--out", tmp_path / "p.jsonl", "--quiet")
    (tmp_path / "q.jsonl").write_text((tmp_path / "p.jsonl").read_text()[:cut])
    parse = read_parse(tmp_path / "q.jsonl")
    assert len(parse.frames) == num_frames
    assert parse.complete is (cut is None)
    assert plan_jobs([str(clip)], tmp_path / "q.jsonl", save_video=False)[0].is_done is (cut is None)


def test_lines_of_something_else(tmp_path: Path) -> None:
    for text in ("", "[]\n", "{}\n", '{"vocabulary": 1}\n', "text\n"):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(InputError, match=r"x\.jsonl"):
            read_parse(tmp_path / "x.jsonl")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_whole_document(tiny_pipeline: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "x.json"
    with tcp_sender(stream(30_000)) as url, process(tiny_pipeline, url, "--out", out, "--every", 1) as running:
        while not list(tmp_path.glob(".*.partwise*")) and running.poll() is None:
            time.sleep(0.1)
        time.sleep(1.0)
        running.send_signal(number)
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert read_parse(out).complete == "unknown"
    assert "frames dropped; done" in errors


def test_a_reader_that_leaves_is_no_failure(tiny_pipeline: Path, tmp_path: Path) -> None:  # noqa: ARG001
    with tcp_sender(stream(30_000)) as url, process(tiny_pipeline, url, "--out", "-") as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["schema_version"]
        running.stdout.close()
        running.stdout = None
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert "rror" not in errors


@pytest.mark.parametrize("num_lines", [0, 1])
def test_a_reader_that_leaves_is_told_of_no_damage(tiny_pipeline: Path, tmp_path: Path, num_lines: int) -> None:
    clip = write_video(tmp_path / "c.mp4", [ramp(i % 28) for i in range(60)])
    with process(tiny_pipeline, clip, "--out", "-") as running:
        assert running.stdout is not None
        for _ in range(num_lines):
            running.stdout.readline()
        running.stdout.close()
        running.stdout = None
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert "damaged" not in errors


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_what_fits_on_a_full_disk_is_kept(tiny_pipeline: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with tcp_sender(stream(3000)) as url:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            assert call(tiny_pipeline, url, "--out", tmp_path / name, "--every", 1, "--quiet") == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert f"{name}: File too large" in errors[0]
    assert len(read_parse(tmp_path / name).frames) > 2
    assert {path.name for path in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize("at_the_end", [False, True])
def test_what_was_parsed_until_a_failure_is_kept(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at_the_end: bool
) -> None:
    whole, calls = VideoParser.parse_key_frames, []

    def failing(self: VideoParser, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 4 and not at_the_end:
            raise RuntimeError("no memory")
        return whole(self, *given)

    def failing_copy(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(VideoParser, "parse_key_frames", failing)
    if at_the_end:
        monkeypatch.setattr(VideoCopy, "__exit__", failing_copy)
    with tcp_sender(stream(90)) as url:
        arguments = ("--out", tmp_path / "x.json", "--every", 1, "--reconnect", 0, "--save-video", "--quiet")
        assert call(tiny_pipeline, url, *arguments) == 1
    parse = read_parse(tmp_path / "x.json")
    assert len(parse.frames) == len(calls) - (not at_the_end)
    assert parse.complete is False
    assert capsys.readouterr().err == f"error: {url}: RuntimeError: no memory (--debug shows where)\n"


def test_the_page_shows_what_is_seen(tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    sources: list[LiveSource] = []
    opened = LiveOptions.open
    monkeypatch.setattr(LiveOptions, "open", lambda *given: sources.append(opened(*given)) or sources[-1])
    with tcp_sender(*[stream(30_000)] * 9) as url:  # a busy machine may lose it now and then
        arguments = (tiny_pipeline, url, "--serve", 0, "--seconds", 100)
        thread = threading.Thread(target=lambda: codes.append(call(*arguments)))
        thread.start()
        errors = ""
        while "serving on" not in errors and thread.is_alive():
            time.sleep(0.1)
            errors += capsys.readouterr().err
        base = errors.split("serving on ")[1].split("/\n")[0]
        page = requests.get(base, timeout=60)
        assert "<title>partwise</title>" in page.text
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        latest = requests.get(f"{base}/latest.json", timeout=60).json()
        assert latest["name"] == url
        assert latest["persons"][0]["parts"]
        assert requests.get(f"{base}/frame.jpg", timeout=60).content.startswith(b"\xff\xd8")
        with requests.get(f"{base}/stream.mjpg", stream=True, timeout=60) as pictures:
            assert pictures.headers["Content-Type"].startswith("multipart/x-mixed-replace")
            data = b""
            for chunk in pictures.iter_content(4096):
                data += chunk
                if data.count(b"--frame") == 3:
                    break
        with requests.get(f"{base}/events", stream=True, timeout=60) as events:
            assert json.loads(next(events.iter_lines()).removeprefix(b"data: "))["index"] >= latest["index"]
        assert requests.get(base, headers={"Host": "elsewhere.example"}, timeout=60).status_code == 403
        assert requests.post(base, timeout=60).status_code == 405
        sources[0].stop()  # as Ctrl-C does, which this thread's run does not hear
        thread.join(120)
    assert codes == [0]
    with pytest.raises(requests.ConnectionError):
        requests.get(base, timeout=10)


def test_a_port_that_is_taken(tiny_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    clip = write_video(tmp_path / "c.mp4", [ramp(i) for i in range(6)])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert call(tiny_pipeline, clip, "--serve", port, "--quiet") == 1
    assert f"--serve {port}: 127.0.0.1 cannot be listened on" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.b", "\x1b.invalid"])
def test_a_host_that_is_none(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"--serve 0: .* cannot be listened on \(.+\)"), Page(host, 0, None):  # type: ignore[arg-type]
        raise AssertionError("it listens")
    assert not [thread for thread in threading.enumerate() if thread.name == "page"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("host", "named", "code"),
    [
        ("127.0.0.2", "elsewhere.example", 403),
        ("127.0.0.2", "127.0.0.2", 200),
        ("LOCALHOST", "elsewhere.example", 403),
        ("LOCALHOST", "LocalHost", 200),
        ("127.0.0.1", "[", 403),
        ("127.0.0.1", "[::1]", 200),
        ("0.0.0.0", "elsewhere.example", 200),
    ],
)
def test_the_page_on_this_machine_alone_is_asked_for_by_its_names(host: str, named: str, code: int) -> None:
    place = "127.0.0.2" if host == "127.0.0.2" else "127.0.0.1"
    with Page(host, 0, None) as page:  # type: ignore[arg-type]
        assert requests.get(f"http://{place}:{page.port}/", headers={"Host": named}, timeout=60).status_code == code


def test_show_without_a_screen(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    clip = write_video(tmp_path / "c.mp4", [ramp(i) for i in range(6)])
    assert call(tiny_pipeline, clip, "--show", "--quiet") == 1
    assert "--show: there is no screen here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["camera:0", "clip.mp4", "--out", "x.json"], "parsed alone"),
        (["camera:0", "--out", "folder"], "expected NAME.json, NAME.jsonl or -"),
        (["camera:0", "--out", "-", "--save-video"], "--save-video: expected --out"),
        (["camera:0"], "expected --out, --show or --serve"),
        (["camera:0", "--serve", "99999"], "expected a port"),
        (["camera:0", "--out", "-", "--reconnect", "nan"], "expected seconds"),
        (["rtsp://me:se/cret@host/x", "--out", "-"], "rtsp://…: expected"),
    ],
)
def test_usage(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as refused:
        main(build_parser().parse_args(arguments))
    assert "cret" not in str(refused.value)


def test_a_camera_that_is_not_there(tiny_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tiny_pipeline, "camera:9999", "--out", tmp_path / "x.json", "--quiet") == 1
    assert capsys.readouterr().err.strip() == "error: camera:9999: cannot be opened (No such file or directory)"
    assert not [*tmp_path.iterdir()]


def test_addresses_have_no_part_in_a_batch() -> None:
    assert plan_jobs(["-"], Path("-"), save_video=False)[0].outputs == []


def test_delays_are_shares_of_the_frames() -> None:
    delays = Delays()
    assert str(delays) == "no frame was done"
    for delay_s in (*[0.1] * 90, *[0.5] * 10, 1e6):
        delays.add(delay_s)
    assert np.allclose([delays.share_s(0.5), delays.share_s(0.95)], [0.11, 0.51])
