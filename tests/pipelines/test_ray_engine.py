"""Videos by Ray Data on a cluster of this machine."""

from __future__ import annotations

import importlib
import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from parsing.document import read_parse
from parsing.errors import InputError
from pipelines.parse.listing import names_of, sources_of
from pipelines.parse.ray_engine import actors_of, checked_out, targets_of
from pipelines.run import build_parser, main


def call(tiny: Path, *arguments: object) -> int:
    settings = ["--config", str(tiny), "--device", "cpu", "--engine", "ray", "--workers", "1"]
    return main(build_parser().parse_args([*settings, *map(str, arguments)]))


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
    (tmp_path / "l.txt").write_text("\ufeffin/a.mp4\r\n\nin/b.mp4\n")
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
    assert names_of(["https://me:secret@host/a.mp4?token=secret", "/x/c?d#e.mp4"]) == ["a.mp4", "c?d#e.mp4"]


def test_parses_of_several_sources_that_would_go_to_one_place() -> None:
    with pytest.raises(InputError, match=r"^s3://out/x\.mp4\.json: is where the parses of several sources would go"):
        targets_of(["s3://h/a/x.mp4", "http://h/a/x.mp4"], "s3://out")


def test_urls_that_differ_in_what_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("https://host/get?id=1\nhttps://host/get?id=2\n")
    with pytest.raises(InputError, match=r"^https://host/get: named by several URLs") as refused:
        sources_of([str(tmp_path / "l.txt")])
    assert "id=" not in str(refused.value)


def test_outputs_at_which_nothing_can_be_written(tiny_pipeline: Path, videos: Path) -> None:
    with pytest.raises(InputError, match="--out http://host/out: nothing can be written there"):
        call(tiny_pipeline, videos, "--out", "http://me:secret@host/out")


def test_a_folder_may_be_named_like_a_protocol() -> None:
    pytest.importorskip("fsspec")
    arguments = build_parser().parse_args(["a.mp4", "--engine", "ray", "--out", "https_parses"])
    assert checked_out(arguments) == "https_parses"


def test_actors_share_the_cores() -> None:
    assert [actors_of([16], None), actors_of([1], None), actors_of([16], 4)] == [(2, 8), (1, 1), (4, 4)]
    # An actor has its cores on one machine.
    assert [actors_of([4, 4], 1), actors_of([3, 3], 3), actors_of([5, 5, 5], None), actors_of([1, 1], 4)] == [
        (4, 1),
        (1, 3),
        (2, 6),
        (1, 4),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
def test_an_object_store(tiny_pipeline: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray.data")
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        secrets = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in (secrets | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)  # the manifest of outputs that are nowhere on this machine goes there
        s3 = importlib.import_module("fsspec").filesystem("s3", skip_instance_cache=True)
        s3.mkdir("bucket")
        for name in ("a", "b"):
            s3.put(str(videos / f"{name}.mp4"), f"bucket/clips/{name}.mp4")
        assert call(tiny_pipeline, "s3://bucket/clips", "--out", "s3://bucket/parses") == 0
        assert call(tiny_pipeline, "s3://bucket/clips", "--out", "s3://bucket/parses", "--skip-existing") == 0
        assert call(tiny_pipeline, "s3://bucket/clips/a*.mp4", "--out", "s3://bucket/p.parquet") == 0
        s3.invalidate_cache()
        found = [name for name in s3.find("bucket") if not name.startswith("bucket/p.parquet/")]
        assert found == [
            f"bucket/{folder}/{name}" for folder, end in (("clips", ""), ("parses", ".json")) for name in (f"a.mp4{end}", f"b.mp4{end}")
        ]
        assert call(tiny_pipeline, "s3://bucket/clips/a.mp4", "--out", "s3://none/parses") == 1
        assert s3.ls("", refresh=True) == ["bucket"]
    finally:
        server.stop()
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
def test_a_machine_that_goes(tiny_pipeline: Path, videos: Path, tmp_path: Path) -> None:
    """Two machines of one core; one goes while it parses its first video."""
    pytest.importorskip("ray.data")
    cluster = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        lost = cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        for name in "cdefgh":
            shutil.copy(videos / "a.mp4", videos / f"{name}.mp4")
        out = tmp_path / "o"

        def go() -> None:
            while not list(out.glob("*.json")):
                time.sleep(0.05)
            cluster.remove_node(lost, allow_graceful=False)

        goes = threading.Thread(target=go)
        goes.start()
        assert call(tiny_pipeline, videos, "--out", out, "--workers", "2", "--ray-address", cluster.address) == 0
        goes.join()
        assert len(list(out.glob("*.json"))) == 8
    finally:
        cluster.shutdown()
