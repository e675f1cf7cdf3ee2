"""Videos by several processes, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from io import FileIO
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from builders import ramp, write_video
from scripted_worker import scripted_work

from parsing.document import read_parse
from parsing.errors import InputError
from pipelines.parse import workers
from pipelines.parse.manifest import Manifest, Record
from pipelines.parse.sources import Job
from pipelines.parse.workers import MOST_STARTS, WorkerOptions, cores_of, run_in_workers
from pipelines.run import build_parser, main

pytestmark = pytest.mark.timeout(900)  # each worker loads its networks


def call(tiny: Path, *arguments: object) -> int:
    return main(build_parser().parse_args([*map(str, arguments), "--config", str(tiny), "--device", "cpu"]))


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        write_video(folder / f"{name}.mp4", [ramp(i) for i in range(6)])
    (folder / "d.mp4").write_text("no video")
    return folder


def test_a_folder_by_two_workers(tiny_pipeline: Path, videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    assert call(tiny_pipeline, videos, "--out", out, "--workers", 2) == 1  # d.mp4
    caught = capfd.readouterr()
    assert caught.err.count("error: ") == 1
    assert "d.mp4: not a readable video" in caught.err
    assert caught.out.count("a.mp4.json") == 1
    noted = {Path(str(line["source"])).name: line for line in lines(out)}
    assert {name: line["outcome"] for name, line in noted.items()} == {
        "a.mp4": "done", "b.mp4": "done", "c.mp4": "done", "d.mp4": "failed",
    }  # fmt: skip
    assert len({line["config_sha256"] for line in noted.values()}) == 1
    assert {len(str(line["input_sha256"])) for line in noted.values()} == {64}
    assert call(tiny_pipeline, videos / "a.mp4", "--out", alone, "--quiet") == 0
    assert read_parse(out / "a.mp4.json").to_json() == read_parse(alone / "a.mp4.json").to_json()
    (videos / "d.mp4").unlink()
    assert call(tiny_pipeline, videos, "--out", out, "--workers", 2, "--skip-existing", "--every", 2) == 0
    assert [line["outcome"] for line in lines(out)[-3:]] == ["skipped"] * 3


def test_a_worker_that_is_killed_loses_no_video(tiny_pipeline: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_video(folder / "a.mp4", [ramp(1)])
    write_video(folder / "b.mp4", [ramp(i % 20) for i in range(100)])

    def kill() -> None:
        while not list(out.glob(".*.partwise*")) or not (out / "a.mp4.json").exists():
            time.sleep(0.01)
        os.kill(worker_of(os.getpid()), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert call(tiny_pipeline, folder, "--out", out, "--workers", 1, "--every", 1) == 0
    killer.join(10)
    assert not killer.is_alive()
    assert "b.mp4: its worker ended (signal SIGKILL); it is tried once again" in capfd.readouterr().err
    assert [(Path(str(line["source"])).name, line["outcome"], line["tries"]) for line in lines(out)] == [
        ("a.mp4", "done", 1), ("b.mp4", "done", 2),
    ]  # fmt: skip
    assert len(read_parse(out / "b.mp4.json").frames) == 100


def worker_of(pid: int) -> int:
    """The child of a process that multiprocessing made for work, not for its own books."""
    for child in chain.from_iterable(path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("no worker")


def scripted(folder: Path, names: Sequence[str], script: str, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Outcomes of videos of these names."""
    monkeypatch.setattr(workers, "_work", scripted_work)
    options = WorkerOptions(cast(Any, folder), script, False)
    jobs = [Job(Path(name), None, None) for name in names]
    return run_in_workers(jobs, options, num_workers, Manifest(folder), quiet=True)


@pytest.mark.parametrize(
    ("script", "num_workers", "num_failed_starts"),
    [("ready killed ready", 1, 1), ("ready refused broken ready", 1, 2), ("ready ready killed", 2, MOST_STARTS)],
)
def test_a_worker_that_cannot_follow_a_lost_one_ends_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    script: str,
    num_workers: int,
    num_failed_starts: int,
) -> None:
    records = scripted(tmp_path, ["deadly.mp4", "a.mp4", "b.mp4"], script, num_workers, monkeypatch)
    assert [(record.source, record.outcome, record.tries) for record in records] == [
        ("deadly.mp4", "done", 2), ("a.mp4", "done", 1), ("b.mp4", "done", 1),
    ]  # fmt: skip
    assert capfd.readouterr().err.count("a worker ended before its networks were loaded (") <= num_failed_starts


@pytest.mark.parametrize("line", ["killed", "refused", "broken"])
def test_videos_for_which_no_worker_is_left_are_told_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    records = scripted(tmp_path, ["deadly.mp4", "a.mp4"], f"ready {line}", 1, monkeypatch)
    assert [record.error for record in records] == [f"{n}.mp4: no worker is left that could parse it" for n in ("deadly", "a")]
    assert len(lines(tmp_path)) == 2
    errors = capfd.readouterr().err
    assert errors.count("a worker ended before its networks were loaded (") == MOST_STARTS
    assert errors.count("error: ") == 2


def test_no_worker_that_loads_its_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"before its networks were loaded \(signal SIGKILL\)"):
        scripted(tmp_path, ["a.mp4"], "killed", 1, monkeypatch)


def test_names_of_signals() -> None:
    codes = {-9: "signal SIGKILL", -40: "signal 40", 3: "exit code 3", None: "exit code None"}
    assert {code: workers._end_of(cast(Any, SimpleNamespace(exitcode=code))) for code in codes} == codes


def test_names_in_what_workers_log_cannot_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scripted(tmp_path, ["\x1b[31m\nx.mp4"], "ready", 1, monkeypatch)
    assert capfd.readouterr().err == "\\x1b[31m\\nx.mp4\n"


def test_networks_that_cannot_be_built_are_told_once(tiny_pipeline: Path, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"person_detector|none\.safetensors"):
        call(tiny_pipeline, videos, "--out", tmp_path / "o", "--workers", 2, "--set", "person_detector.weights=none.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.json", "--workers", "2"], "need a folder|expected a folder"),
        (["--out", "o", "--workers", "0"], "expected a number from 1"),
        (["--out", "o", "--workers", "2", "--serve", "0"], "of one source in this process"),
    ],
)
def test_usage(
    tiny_pipeline: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        call(tiny_pipeline, videos, *arguments)


def test_a_manifest_goes_on(tmp_path: Path) -> None:
    first = Manifest(tmp_path)
    first.add(Record("a.mp4", ("a.mp4.json",), "done", config_sha256="1"))
    first.add(Record("b.mp4", (), "failed", "why"))
    with first.path.open("a") as file:
        file.write('{"source": "c.mp4", "outc')  # its writer was killed
    again = Manifest(tmp_path)
    assert again.made_otherwise(["a.mp4", "b.mp4"], "1") == []
    assert again.made_otherwise(["a.mp4", "b.mp4"], "2") == ["a.mp4"]


@pytest.mark.parametrize(
    "text", ["[1]\n", "[1]", "mine", '{"mine": 1}', '{"source": "a.mp4"}\n', '{"source": "a.mp4", "outcome": "done"}\n[1]\n']
)
def test_a_file_of_its_name_that_is_no_manifest_stays(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(InputError, match="no manifest"):
        Manifest(tmp_path)
    assert (tmp_path / "manifest.jsonl").read_text() == text


@pytest.mark.parametrize("lost", [1, 2, 40, -8, -1])
def test_runs_go_on_behind_a_line_that_was_cut(lost: int, tmp_path: Path) -> None:
    """One that lacks its end alone is whole; of any other nothing stays."""
    manifest = Manifest(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        manifest.add(Record(name, (), "done", config_sha256="1"))
    data = manifest.path.read_bytes()
    begin = data.index(b"\n") + 1
    manifest.path.write_bytes(data[: begin + lost] if lost > 0 else data[:lost])
    for name in ("c.mp4", "d.mp4"):
        Manifest(tmp_path).add(Record(name, (), "done", config_sha256="1"))
    kept = ["a.mp4", *(["b.mp4"] if lost == -1 else []), "c.mp4", "d.mp4"]
    assert [line["source"] for line in lines(tmp_path)] == kept
    assert [*Manifest(tmp_path).before] == kept


def test_lines_that_stand_behind_a_cut_one_are_read(tmp_path: Path) -> None:
    """As earlier versions left it: a line was appended right behind one that was cut."""
    manifest = Manifest(tmp_path)
    manifest.path.write_text('{"source": "a.mp4", "out{"source": "b.mp4", "outcome": "done"}\n{"source": "c.mp4", "outcome": "done"}\n')
    assert [*Manifest(tmp_path).before] == ["c.mp4"]


def test_a_line_is_written_whole_by_however_many_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes a few bytes at a time, as one on a disk that is almost full may."""

    class Short(FileIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            return super().write(data[:10])

    manifest = Manifest(tmp_path)
    monkeypatch.setattr(Path, "open", lambda path, mode, **_: Short(path, mode))
    manifest.add(Record("a.mp4", (), "done"))
    monkeypatch.undo()
    assert [line["source"] for line in lines(tmp_path)] == ["a.mp4"]


def test_lines_of_several_writers_stay_whole(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    writers = [
        threading.Thread(target=lambda: [manifest.add(Record("a.mp4", (), "failed", "x" * 2000)) for _ in range(50)]) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(lines(tmp_path)) == 200


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 5, 7})
    assert [cores_of(place, 2) for place in range(2)] == [[0, 1, 2], [3, 5, 7]]
    assert [cores_of(place, 4) for place in range(4)] == [[0], [1], [2], [3]]
    assert [len(cores_of(place, 9)) for place in range(9)] == [1] * 9
