"""Outputs: no input is ever replaced, nothing is overwritten unasked, one bad source never ends a batch, nothing half-written stays.

Each case is a fault that once lost or could lose a file, and what must come of it.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from builders import ramp, write_clips, write_video

from parsing.errors import InputError
from parsing.writing import ParseWriter
from pipelines import ablate, convert, diagnose, distil, evaluate, export, inspect_data, pseudo_label, report, run, train
from pipelines.command import files_named
from pipelines.parse.parser import VideoParser

ROOT = Path(__file__).parents[2]


def call(module: Any, *arguments: object) -> int:
    """A command within this process."""
    return int(module.main(module.build_parser().parse_args([*map(str, arguments), "--quiet"])))


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """`pipelines.run` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.run", *map(str, arguments), "--device", "cpu"]
    return subprocess.Popen(command, env=environment, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options)


def run_alone(*arguments: object, **options: Any) -> tuple[int, str, str]:
    with start(*arguments, **options) as process:
        out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", [ramp(i) for i in range(4)])


def test_an_annotated_copy_never_takes_the_place_of_its_video(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), np.zeros((40, 50, 3), np.uint8))
    before = clip.read_bytes(), picture.read_bytes()
    for source, copy in ((clip, "video.parsed.mp4"), (picture, "photo.parsed.png")):
        out = source.with_suffix(".json")
        assert call(run, source, "--out", out, "--save-video", "--overwrite", "--config", tiny_pipeline) == 0
        assert (tmp_path / copy).is_file()
    assert (clip.read_bytes(), picture.read_bytes()) == before


def test_a_folder_of_results_is_no_source_of_its_own_copies(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    again = [tmp_path, "--out", tmp_path, "--save-video", "--overwrite", "--config", tiny_pipeline]
    names = {"video.mp4", "video.mp4.json", "video.mp4.parsed.mp4"}
    for _ in range(2):
        assert call(run, *again) == 0
        assert {path.name for path in tmp_path.iterdir()} == names
    assert clip.is_file()


@pytest.mark.parametrize("kind", ["itself", "symbolic link", "hard link", "link to the folder"])
def test_no_output_is_an_input_under_whatever_name(kind: str, tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    """Sources need no suffix of a video: here it is the very name of the output."""
    folder = tmp_path / "there"
    folder.mkdir()
    source = clip.rename(folder / "clip.json")
    out = tmp_path / "out.json"
    if kind == "itself":
        out = source
    elif kind == "symbolic link":
        out.symlink_to(source)
    elif kind == "hard link":
        out.hardlink_to(source)
    else:
        (tmp_path / "link").symlink_to(folder)
        out = tmp_path / "link" / source.name
    before = source.read_bytes()
    with pytest.raises(InputError, match="is an input"):
        call(run, source, "--out", out, "--overwrite", "--config", tiny_pipeline)
    assert source.read_bytes() == before


def test_what_a_config_names_is_an_input(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    recordings = tmp_path / "parses"
    assert call(run, clip, "--out", recordings, "--config", tiny_pipeline) == 0
    replay = f"tracker={{name: replay, recordings: {recordings}}}"
    for out in (recordings, recordings / "video.mp4.json"):
        with pytest.raises(InputError, match=r"video\.mp4\.json: is an input"):
            call(run, clip, "--out", out, "--overwrite", "--config", tiny_pipeline, "--set", replay)
    copy = tmp_path / "pipeline.json"
    copy.write_text(json.dumps(yaml.safe_load(tiny_pipeline.read_text())))
    with pytest.raises(InputError, match=r"pipeline\.json: is an input"):
        call(run, clip, "--out", copy, "--overwrite", "--config", copy)


def test_files_of_a_config_are_found_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name in ("labels.csv", "images/1.png", "unnamed.txt"):
        (tmp_path / "data" / name).touch()
    settings = {"data": {"root": str(tmp_path / "data"), "labels": "labels.csv", "sources": ["images"]}, "note": "x" * 5000, "zero": "\0"}
    assert {path.name for path in files_named(settings)} == {"labels.csv", "1.png"}


Case = tuple[Any, list[object], Path]


@pytest.fixture
def cases(people: Path, tiny_pipeline: Path, tmp_path: Path) -> Callable[[str], Case]:
    """Commands with all they need but `--out`, and the input that `--out` must not name."""

    def detector(**changes: object) -> Path:
        settings = {
            "name": "gfl",
            "target": "parts",
            "architecture": {"class_names": ["head"]},
            "fit": {"epochs": 1, "batch_size": 2, "lr": 0.1},
        }
        path = tmp_path / "detector.yaml"
        path.write_text(yaml.safe_dump({**settings, "data": {"root": str(people)}, **changes}))
        return path

    def make(name: str) -> Case:
        coco = people / "annotations_train.json"
        if name == "convert":
            (tmp_path / "c.pth").write_bytes(b"x")
            return convert, ["mmdet", tmp_path / "c.pth", "--to", "retinanet_r50"], tmp_path / "c.pth"
        if name == "inspect_data":
            return inspect_data, [coco], people / "images" / "0.png"
        if name == "evaluate a stage":
            return evaluate, ["part_detector", "--config", detector()], coco
        if name == "evaluate weights":
            weights = tmp_path / "w.safetensors"
            weights.write_bytes(b"x")
            return evaluate, ["part_detector", "--config", detector(), "--weights", weights], weights
        if name == "evaluate kinetics-tps":
            for part in ("parts.json", "actions.json"):
                (tmp_path / part).write_text("{}")
            files = ["--parts", tmp_path / "parts.json", "--actions", tmp_path / "actions.json"]
            return evaluate, ["kinetics-tps", "--gt", people, *files], tmp_path / "actions.json"
        if name == "pseudo_label":
            settings = {"teacher": {"name": "gfl", "weights": "w"}, "data": {"root": str(people)}}
            (tmp_path / "p.yaml").write_text(yaml.safe_dump(settings))
            return pseudo_label, ["--config", tmp_path / "p.yaml"], coco
        assert name == "export"
        parse = write_video(tmp_path / "v.zip.mp4", [ramp(1)]).rename(tmp_path / "v.zip")
        return export, ["kinetics-tps", parse, "--config", tiny_pipeline], parse

    return make


COMMANDS = ["convert", "inspect_data", "evaluate a stage", "evaluate weights", "evaluate kinetics-tps", "pseudo_label", "export"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_to_replace_its_input(name: str, cases: Callable[[str], Case]) -> None:
    module, arguments, target = cases(name)
    before = target.read_bytes()
    option = "--sheet" if module is inspect_data else "--out"
    with pytest.raises(InputError, match=f"{target.name}: is an input"):
        call(module, *arguments, option, target, "--overwrite")
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_to_replace_what_exists(name: str, cases: Callable[[str], Case], tmp_path: Path) -> None:
    module, arguments, _ = cases(name)
    mine = tmp_path / "mine.zip"
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"mine\.zip: exists; choose another --out or give --overwrite"):
        call(module, *arguments, "--sheet" if module is inspect_data else "--out", mine)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("module", [ablate, convert, diagnose, distil, evaluate, export, inspect_data, pseudo_label, report, run, train])
def test_every_command_has_the_same_options(module: Any) -> None:
    parser: argparse.ArgumentParser = module.build_parser()
    kinds = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for one in kinds[0].choices.values() if kinds else [parser]:
        assert {"--overwrite", "--quiet", "--debug"} <= one._option_string_actions.keys()


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training config that is quick."""
    folder = tmp_path_factory.mktemp("recognizer")
    settings = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "input_px": 32},
        "data": {"root": str(write_clips(folder / "clips")), "short_side_px": 32},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(settings))
    return folder / "c.yaml"


def test_a_finished_run_is_not_replaced_unasked(recognizer: Path, tmp_path: Path) -> None:
    order = ["recognizer", "--config", recognizer, "--out", tmp_path / "run", "--device", "cpu"]
    assert call(train, *order) == 0
    before = (tmp_path / "run" / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"run/.*: exists; choose another --out or give --overwrite"):
        call(train, *order)
    with pytest.raises(InputError, match=r"weights\.safetensors: is an input"):
        call(train, *order, "--overwrite", "--set", f"initial={tmp_path / 'run' / 'weights.safetensors'}")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == before
    assert call(train, *order, "--overwrite", "--set", "fit.seed=1") == 0
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() != before


def test_a_begun_run_is_not_replaced_unasked(recognizer: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json: exists"):
        call(train, "recognizer", "--config", recognizer, "--out", tmp_path, "--device", "cpu")


def test_weights_that_are_no_number_fail_their_source_alone(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is raised while one source is parsed is the failure of this source."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        write_video(folder / f"{name}.mp4", [ramp(1)])
    whole = VideoParser.parse_key_frames

    def failing(self: VideoParser, frames: list[Any], *rest: Any) -> Any:
        if frames[0].video == "b.mp4":
            raise IndexError("list index out of range")
        return whole(self, frames, *rest)

    monkeypatch.setattr(VideoParser, "parse_key_frames", failing)
    assert call(run, folder, "--out", tmp_path / "out", "--config", tiny_pipeline) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4.json", "c.mp4.json"]
    errors = capsys.readouterr().err.splitlines()
    assert errors == [f"error: {folder / 'b.mp4'}: IndexError: list index out of range (--debug shows where)"]
    assert call(run, folder, "--out", tmp_path / "out", "--config", tiny_pipeline, "--overwrite", "--debug") == 1
    assert "in failing" in capsys.readouterr().err
    assert (tmp_path / "out" / "c.mp4.json").is_file()


def test_an_export_names_what_failed_and_goes_on(
    tiny_pipeline: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    order = ["kinetics-tps", tmp_path / "bad.mp4", clip, "--config", tiny_pipeline, "--device", "cpu"]
    assert call(export, *order, "--out", tmp_path / "s.zip") == 1
    assert list(json.loads(zipfile.ZipFile(tmp_path / "s.zip").read("pred_vid_result.json"))) == ["video"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {tmp_path / 'bad.mp4'}: not a readable video")
    with pytest.raises(InputError, match="rtsp://host/a: a live source"):
        call(export, "kinetics-tps", "rtsp://host/a", "--out", tmp_path / "t.zip")


def test_names_that_are_no_utf8(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/in\xff"))
    folder.mkdir()
    source = write_video(tmp_path / "a.mp4", [ramp(1)]).rename(folder / os.fsdecode(b"\xff\xfe.mp4"))
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((40, 50, 3), np.uint8))
    picture.rename(folder / os.fsdecode(b"\xfd.png"))
    out = folder / "out"
    code, _, errors = run_alone(folder, "--out", out, "--save-video", "--config", tiny_pipeline)
    assert (code, errors) == (0, "")
    assert len(list(out.iterdir())) == 4
    document = json.loads((out / f"{source.name}.json").read_bytes())  # it is UTF-8
    assert document["video"]["name"] == r"\xff\xfe.mp4"


def test_names_cannot_steer_the_terminal(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(tmp_path / "a.mp4", [ramp(1)]).rename(folder / "[red]x\x1b[31m\nerror: fake.mp4")
    (folder / "bad\x1b]0;title\x07\nerror: fake.mp4").write_text("no video")
    code, out, errors = run_alone(folder, "--out", tmp_path / "out", "--config", tiny_pipeline)
    assert code == 1
    assert "[red]x\\x1b[31m\\nerror: fake.mp4" in out
    assert len(out.splitlines()) == 3  # the head of the table, and a line for each source
    assert len(errors.splitlines()) == 1
    assert "bad\\x1b]0;title\\x07\\nerror: fake.mp4" in errors
    assert not {"\x1b", "\x07"} & set(out + errors)


@pytest.mark.parametrize("number", [1, 2])
def test_a_closed_stream_is_no_failure(number: int, tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    line = f'exec {number}>&-; exec "$0" "$@"'
    command = ["sh", "-c", line, sys.executable, "-m", "pipelines.run", clip, "--out", tmp_path / "o.json", "--config", tiny_pipeline]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads((tmp_path / "o.json").read_text())["frames"]) == 4


def test_a_reader_that_has_gone_is_no_failure(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, _, errors = run_alone(clip, "--out", tmp_path / "o.json", "--config", tiny_pipeline, stdout=writing)
    finally:
        os.close(writing)
    assert (code, errors) == (0, "")


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "long.mp4", [ramp(i % 20) for i in range(3000)], fps=30)


@contextlib.contextmanager
def begun(tiny_pipeline: Path, clip: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun to write."""
    with start(clip, "--out", out, "--save-video", "--config", tiny_pipeline, "--every", "1") as process:
        deadline = time.monotonic() + 60
        while len(list(out.parent.glob(".*.partwise*"))) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        yield process
        process.kill()


def test_termination_leaves_no_temporary_file(tiny_pipeline: Path, long_clip: Path, tmp_path: Path) -> None:
    with begun(tiny_pipeline, long_clip, tmp_path / "p.json") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip().splitlines()[-1]) == (143, "terminated")
    assert {path.name for path in tmp_path.iterdir()} == {"long.mp4"}


def test_what_dead_processes_left_is_removed_and_what_living_ones_write_is_not(
    tiny_pipeline: Path, long_clip: Path, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "video.mp4", [ramp(1)])
    with begun(tiny_pipeline, long_clip, tmp_path / "p.json") as process:
        assert call(run, clip, "--out", tmp_path / "a.json", "--config", tiny_pipeline) == 0
        assert len(list(tmp_path.glob(".*.partwise*"))) == 2
        process.kill()
        process.communicate(timeout=60)
    assert len(list(tmp_path.glob(".*.partwise*"))) == 2
    assert call(run, clip, "--out", tmp_path / "b.json", "--config", tiny_pipeline) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json", "long.mp4", "video.mp4"}


@pytest.mark.parametrize("options", [[], ["--save-video"]])
def test_a_full_disk_leaves_no_temporary_file(options: list[str], tiny_pipeline: Path, long_clip: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: writing fails in the middle."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    order = [long_clip, "--out", tmp_path / "p.json", *options, "--config", tiny_pipeline]
    code, _, errors = run_alone(*order, preexec_fn=limit)
    assert code == 1
    assert len(errors.strip().splitlines()) == 1
    assert "p.json: File too large" in errors or "p.parsed.mp4: File too large" in errors
    assert {path.name for path in tmp_path.iterdir()} == {"long.mp4"}


@pytest.mark.parametrize("kind", ["image", "video"])
def test_no_annotated_copy_appears_without_its_parse(
    kind: str, tiny_pipeline: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full when the end of the parse is written, after the last picture; the next run has nothing in its way."""
    if kind == "image":
        cv2.imwrite(str(tmp_path / "video.png"), np.zeros((40, 50, 3), np.uint8))
        clip.unlink()
        clip = tmp_path / "video.png"
    order = [run, clip, "--out", tmp_path / "p.json", "--save-video", "--config", tiny_pipeline]
    with monkeypatch.context() as patched:
        patched.setattr(ParseWriter, "finish", raise_full)
        assert call(*order) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [clip]
    assert call(*order) == 0
    assert len(list(tmp_path.iterdir())) == 3


def raise_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_long_names(tiny_pipeline: Path, tmp_path: Path) -> None:
    """A name may have 255 bytes: with .json there is room for one of 250, with .parsed.mp4 for one of 244."""
    folder = tmp_path / "in"
    folder.mkdir()
    first = write_video(tmp_path / "a.mp4", [ramp(1)])
    for length in (244, 250):
        (folder / ("ü" * ((length - 4) // 2) + ".mp4")).write_bytes(first.read_bytes())
    assert call(run, folder, "--out", tmp_path / "out", "--config", tiny_pipeline) == 0
    code, _, errors = run_alone(folder, "--out", tmp_path / "copies", "--save-video", "--config", tiny_pipeline)
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert "File name too long" in errors
    assert sorted(len(os.fsencode(path.name)) for path in (tmp_path / "copies").iterdir()) == [244 + 5, 244 + 11]


def test_the_folder_is_tested_before_networks_run(tiny_pipeline: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.parse.parser.VideoParser.__init__", lambda *_: pytest.fail("networks were built"))

    def full(*_: object, **__: object) -> io.BytesIO:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parsing.files.tempfile.TemporaryFile", full)
    with pytest.raises(InputError, match=r"deep/out: cannot be written to \(No space left on device\)"):
        call(run, clip, "--out", tmp_path / "deep" / "out", "--config", tiny_pipeline)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_a_device_is_no_output(people: Path, tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"pipe\.json: is no regular file"):
        call(run, clip, "--out", tmp_path / "pipe.json", "--overwrite", "--config", tiny_pipeline)
    with pytest.raises(InputError, match=r"folder\.png: is a folder"):
        call(inspect_data, people / "annotations_val.json", "--sheet", tmp_path / "folder.png")


def test_a_missing_environment_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-m", "pipelines.run", "a.mp4", "--out", tmp_path / "o.json"]  # -S: no installed packages
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "source .venv/bin/activate" in done.stderr
