"""The command line, as a user meets it: in a process of its own where exit codes and streams matter."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from builders import ramp, write_video
from commands import command_line

from parsing.document import json_schema
from parsing.errors import InputError
from parsing.media.video import Video
from pipelines import run
from pipelines.parse.sources import Job, plan_jobs
from pipelines.run import build_parser, done_and_left, main

ROOT = Path(__file__).parents[2]


def alone(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=120)


def call(tiny: Path, *arguments: object) -> int:
    """The same within this process, which is quicker."""
    return main(build_parser().parse_args([*map(str, arguments), "--config", str(tiny), "--device", "cpu"]))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "c.mp4", [ramp(i) for i in range(6)])


def test_one_video(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    done = alone(clip, "--out", tmp_path / "p.json", "--save-video", "--config", tiny_pipeline)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(document, json_schema())
    assert len(document["frames"]) == 6
    assert Video(tmp_path / "p.parsed.mp4").facts.frames_declared == 6
    assert "c.mp4" in done.stdout


def test_a_report_stands_beside_the_parse_and_the_drawing_has_its_options(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    drawn = ("--save-video", "--hide", "panels", "--hide", "parts", "--follow", 1)
    assert call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--report", *drawn, "--quiet") == 0
    assert '"address":"c.mp4"' in (tmp_path / "p.html").read_text()
    (tmp_path / "p.json").unlink()
    with pytest.raises(InputError, match=r"p\.html: exists"):
        call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--report", "--quiet")
    with pytest.raises(InputError, match="--follow -1"):
        call(tiny_pipeline, clip, "--out", tmp_path / "r.json", "--follow", -1)


def test_a_folder_with_a_broken_video_goes_on(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_video(folder / "a.mp4", [ramp(i) for i in range(3)])
    (folder / "b.mp4").write_text("text")
    write_video(folder / "c.mkv", [ramp(i) for i in range(3)])
    (folder / "notes.txt").write_text("left alone")
    done = alone(folder, "--out", out, "--config", tiny_pipeline)
    assert done.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.mp4.json", "c.mkv.json"]
    assert len(done.stderr.strip().splitlines()) == 1
    assert "b.mp4: not a readable video" in done.stderr
    assert "failed" in done.stdout
    assert str(out / "a.mp4.json") in done.stdout  # not folded


def test_an_image_and_quiet(tiny_pipeline: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "i.png"), np.zeros((40, 50, 3), np.uint8))
    assert call(tiny_pipeline, tmp_path / "i.png", "--out", tmp_path / "o.json", "--save-video", "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert len(json.loads((tmp_path / "o.json").read_text())["frames"]) == 1
    assert (tmp_path / "o.parsed.png").exists()


def test_flags_reach_the_schedule(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    assert call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--every", 3, "--max-persons", 1, "--batch", 1, "--quiet") == 0
    frames = json.loads((tmp_path / "p.json").read_text())["frames"]
    assert [frame["key"] for frame in frames] == [True, False, False, True, False, False]
    assert {len(frame["persons"]) for frame in frames} == {1}


def test_what_is_done_is_found_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job is compared with any other, of which there may be many thousands."""
    jobs = [Job(Path(f"{i}.mp4"), tmp_path / f"{i}.json", None) for i in range(6)]
    for i in (1, 4):
        (tmp_path / f"{i}.json").touch()
    with monkeypatch.context() as patched:
        patched.setattr(Job, "__eq__", lambda *_: pytest.fail("two jobs were compared"))
        found = [done_and_left(jobs, skip_existing) for skip_existing in (True, False)]
    assert found == [([jobs[1], jobs[4]], [jobs[0], *jobs[2:4], jobs[5]]), ([], jobs)]


def test_outputs_are_not_replaced_unasked(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--quiet")
    assert (tmp_path / "p.json").read_text() == "mine"
    assert call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--quiet", "--overwrite") == 0
    assert (tmp_path / "p.json").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{clip}", "--out", "{tmp}/c.mp4/p.json"], "c.mp4: is no folder"),
        (["{clip}", "--out", "{tmp}/p.csv"], "expected NAME.json or NAME.jsonl for one source, or a folder"),
        (["{clip}", "{clip2}", "--out", "{tmp}/p.csv"], "expected NAME.json or NAME.jsonl for one source, or a folder"),
        (["gopher://host/stream", "--out", "{tmp}/p.json"], "gopher://host/stream: expected an address of rtsp"),
        (["{tmp}/empty", "--out", "{tmp}/o"], "folder without videos"),
        (["{tmp}/*.xyz", "--out", "{tmp}/o"], "no file matches"),
        (["{clip}", "{clip2}", "--out", "{tmp}/p.json"], "2 inputs need a folder"),
        (
            ["{clip}", "--out", "{tmp}/p.json", "--config", "nothing"],
            "--config nothing: no file, and no config that is shipped; valid: default",
        ),
        (["{clip}", "--out", "{tmp}/p.json", "--every", "0"], "every"),
        (["{clip}", "--out", "{tmp}/p.json", "--set", "tracker.lost=1"], "did you mean 'lost_s'"),
        (["{clip}", "--out", "{tmp}/p.json", "--device", "tpu"], "invalid choice"),
        (["--out", "{tmp}/p.json"], "SOURCE"),
    ],
)
def test_usage_errors(
    tiny_pipeline: Path,
    clip: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    second = write_video(tmp_path / "d.mp4", [ramp(1)])
    filled = [word.format(clip=clip, clip2=second, tmp=tmp_path) for word in arguments]
    code = command_line(run, [*filled, *([] if "--config" in filled else ["--config", tiny_pipeline])], monkeypatch)
    errors = capsys.readouterr().err
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("arguments", [["--device", "tpu"], ["--every", "0"]])
def test_a_process_ends_with_the_code_of_its_usage_error(tiny_pipeline: Path, clip: Path, tmp_path: Path, arguments: list[str]) -> None:
    done = alone(clip, "--out", tmp_path / "p.json", "--config", tiny_pipeline, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith(("error: ", "partwise run: error: "))


def test_a_pickle_as_weights_executes_nothing(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    evil, proof = tmp_path / "evil.safetensors", tmp_path / "proof"
    evil.write_bytes(b"cposix\nsystem\n(S'touch " + str(proof).encode() + b"'\ntR.")
    with pytest.raises(InputError, match=r"evil\.safetensors: not a readable safetensors"):
        call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--set", f"person_detector.weights={evil}")
    assert not proof.exists()


def test_inputs_that_cannot_be_read_are_failures_not_usage(tiny_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tiny_pipeline, tmp_path / "none.mp4", "--out", tmp_path / "p.json", "--quiet") == 1
    assert "none.mp4: cannot be read" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(
    tiny_pipeline: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("parsing.writing.atomic", lambda path: nullcontext(Path("/dev/full")))  # noqa: ARG005
    assert call(tiny_pipeline, clip, "--out", tmp_path / "p.json", "--quiet") == 1
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_equal_names_keep_their_folders(tmp_path: Path) -> None:
    for name in ("a/c.mp4", "b/deep/c.mp4", "b/deep/d.png", "b/deep/d.png.parsed.png", "b/deep/.hidden.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = [str(tmp_path / "a"), str(tmp_path / "b" / "deep"), str(tmp_path / "a" / ".." / "a" / "c.mp4")]
    jobs = plan_jobs(sources, tmp_path / "o", save_video=True)
    names = [[str(path.relative_to(tmp_path / "o")) for path in job.outputs] for job in jobs]
    assert names == [
        ["a/c.mp4.json", "a/c.mp4.parsed.mp4"],
        ["b/deep/c.mp4.json", "b/deep/c.mp4.parsed.mp4"],
        ["d.png.json", "d.png.parsed.png"],
    ]


def test_a_stopped_batch_goes_on(tiny_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name in ("a", "b"):
        write_video(folder / f"{name}.mp4", [ramp(1)])
    (out / "a.mp4.json").write_text("from before")
    assert call(tiny_pipeline, folder, "--out", out, "--skip-existing") == 0
    assert (out / "a.mp4.json").read_text() == "from before"
    assert len(json.loads((out / "b.mp4.json").read_text())["frames"]) == 1
    assert "a.mp4.json (was there)" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"a\.mp4\.json: exists"):
        call(tiny_pipeline, folder, "--out", out)
    with pytest.raises(InputError, match=r"a\.mp4\.json: exists"):  # its annotated copy is not there, so it is not done
        call(tiny_pipeline, folder, "--out", out, "--skip-existing", "--save-video")


def test_interrupt_leaves_nothing(tiny_pipeline: Path, tmp_path: Path) -> None:
    path, out = write_video(tmp_path / "long.mp4", [ramp(i % 20) for i in range(3000)], fps=30), tmp_path / "p.json"
    command = [sys.executable, "-m", "pipelines.run", path, "--out", out, "--save-video", "--config", tiny_pipeline, "--every", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests that run in the background pass on that it is ignored
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=heard) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".*.partwise*")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.strip().endswith("interrupted")
    assert {path.name for path in tmp_path.iterdir()} == {"long.mp4"}


def test_help_is_short() -> None:
    done = alone("--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) < 70
