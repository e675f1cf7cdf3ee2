"""Videos by Ray Data on a cluster of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import ramp, write_video

from parsing.document import read_parse
from parsing.errors import InputError
from pipelines.parse.listing import names_of, shown, sources_of
from pipelines.parse.ray_engine import actors_of
from pipelines.run import build_parser, main


def call(tiny: Path, *arguments: object) -> int:
    settings = ["--config", str(tiny), "--device", "cpu", "--engine", "ray", "--workers", "1"]
    return main(build_parser().parse_args([*map(str, arguments), *settings]))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        write_video(folder / f"{name}.mp4", [ramp(i) for i in range(6)])
    return folder


@pytest.mark.filterwarnings("ignore")  # of ray and its own dependencies
@pytest.mark.timeout(900)
def test_files_and_parquet(tiny_pipeline: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray.data")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "list.txt").write_text("in/a.mp4\nfile://{}\nin/none.mp4\n".format(videos / "b.mp4"))
    assert call(tiny_pipeline, tmp_path / "list.txt", "--out", tmp_path / "o") == 1
    caught = capsys.readouterr()
    assert "none.mp4" in caught.err
    assert "2 parsed, 1 failed" in caught.out
    assert len(read_parse(tmp_path / "o" / "a.mp4.json").frames) == 6
    noted = [json.loads(line) for line in (tmp_path / "o" / "manifest.jsonl").read_text().splitlines()]
    assert sorted(line["outcome"] for line in noted) == ["done", "done", "failed"]
    with pytest.raises(InputError, match="--skip-existing or --overwrite"):
        call(tiny_pipeline, videos, "--out", tmp_path / "o")
    assert call(tiny_pipeline, videos, "--out", tmp_path / "o", "--skip-existing") == 0
    assert "0 parsed, 0 failed, 2 were there" in capsys.readouterr().out
    assert call(tiny_pipeline, videos, "--out", tmp_path / "p.parquet", "--quiet") == 0
    table = parquet.read_table(tmp_path / "p.parquet")
    assert sorted(Path(name).name for name in table.column("source").to_pylist()) == ["a.mp4", "b.mp4"]
    assert len(json.loads(table.column("document")[0].as_py())["frames"]) == 6


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_cannot_be_reached(tiny_pipeline: Path, videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.data")
    with pytest.raises(InputError, match=r"--ray-address 127\.0\.0\.1:1: no cluster can be reached"):
        call(tiny_pipeline, videos, "--out", tmp_path / "o", "--ray-address", "127.0.0.1:1")


def test_sources_of_lists_and_parquet(videos: Path, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    both = [str(videos / "a.mp4"), str(videos / "b.mp4")]
    parquet.write_table(pa.table({"path": ["in/a.mp4", "in/b.mp4"]}), tmp_path / "l.parquet")
    (tmp_path / "l.txt").write_text("in/a.mp4\n\nin/b.mp4\n")
    for named in ([str(videos)], [str(videos / "*.mp4")], [str(tmp_path / "l.txt")], [str(tmp_path / "l.parquet")]):
        assert sources_of(named) == both
    assert sources_of([f"file://{videos}"]) == [f"file://{path}" for path in both]
    assert sources_of([f"file://{videos}/b*.mp4"]) == [f"file://{both[1]}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "names no video"), ("rtsp://me:secret@host/x", "expected a path, or a URL of"), ("python://x", "expected a path, or a URL of")],
)
def test_lists_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        sources_of([str(tmp_path / "l.txt")])
    assert "secret" not in str(refused.value)


def test_a_parquet_file_without_paths(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    parquet.write_table(pa.table({"file": ["a"]}), tmp_path / "l.parquet")
    (tmp_path / "m.parquet").write_text("text")
    for name in ("l.parquet", "m.parquet", "none.parquet"):
        with pytest.raises(InputError, match="expected a Parquet file with a column 'path'"):
            sources_of([str(tmp_path / name)])


def test_names_keep_their_folders_where_they_are_equal() -> None:
    assert names_of(["s3://b/x/a.mp4", "s3://b/y/a.mp4", "s3://b/y/c.mp4"]) == ["x/a.mp4", "y/a.mp4", "c.mp4"]
    assert shown("https://me:secret@host/a.mp4?token=secret") == "https://host/a.mp4"


def test_actors_share_the_cores() -> None:
    assert [actors_of(16, None), actors_of(1, None), actors_of(16, 4)] == [(2, 8), (1, 1), (4, 4)]
