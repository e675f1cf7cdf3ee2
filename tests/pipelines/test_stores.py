"""Sources and outputs on file systems that fsspec knows: what is told of them, and where files go."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import torch

from parsing.errors import InputError
from pipelines.parse.config import read_pipeline
from pipelines.parse.listing import sources_of
from pipelines.parse.manifest import Record
from pipelines.parse.ray_engine import RayParser, RayTask, append_row, existing, targets_of
from pipelines.parse.stores import put, shown


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me:secret@host/a.mp4?token=secret", "https://host/a.mp4"),
        ("https://secret@host/a.mp4#secret", "https://host/a.mp4"),
        ("http://host:8080/a:b.mp4?d", "http://host:8080/a:b.mp4"),
        ("s3://bucket/a?b#c.mp4", "s3://bucket/a?b#c.mp4"),
        ("abfs://container@account.host/a.mp4", "abfs://container@account.host/a.mp4"),
        ("s3://key:se/cret@bucket/a.mp4", "s3://…"),
        ("ftp://me:se/cret@host/a.mp4", "ftp://…"),
        ("/x/me:secret@host/a?b.mp4", "/x/me:secret@host/a?b.mp4"),
    ],
)
def test_what_is_shown_of_a_url(url: str, told: str) -> None:
    assert shown(url) == told


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://me:se/cret@host/a.mp4", "https://…: expected https://USER:PASSWORD@HOST"),
        ("https://me:se#cret@host/a.mp4", "https://…: expected https://USER:PASSWORD@HOST"),
        ("s3://key:secret@bucket/a.mp4", "s3://…: expected no user and no password in it"),
        ("s3://key:se/cret@bucket/a.mp4", "s3://…: expected no user and no password in it"),
        ("s3x://me:se/cret@h/a.mp4", "s3x://…: expected a path, or a URL of"),
        ("https://[::1]:80/a.mp4", "https://[::1]:80/a.mp4: expected a URL without '::'"),
    ],
)
def test_urls_that_are_refused_without_their_secrets(url: str, line: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "l.txt").write_text(f"{url}\n")
    for source in (url, str(tmp_path / "l.txt")):
        with pytest.raises(InputError) as refused:
            sources_of([source])
        assert str(refused.value).startswith(line)
        assert "cret" not in str(refused.value)


def test_colons_in_names_are_no_chain_of_file_systems(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "run").write_text("the user's")
    (tmp_path / "made.json").write_text("{}")
    out = str(tmp_path / "run::2")
    (target,) = targets_of(["/d/a::b.mp4"], out)
    task = RayTask(0, "/d/a::b.mp4", target)
    assert existing(out, [task]) == set()
    put(tmp_path / "made.json", target)
    assert (tmp_path / "run").read_text() == "the user's"
    assert (tmp_path / "run::2" / "a::b.mp4.json").read_text() == "{}"
    assert existing(out, [task]) == {task}
    assert sources_of([str(_touched(tmp_path / "c::d.mp4"))]) == [str(tmp_path / "c::d.mp4")]


def _touched(path: Path) -> Path:
    path.touch()
    return path


def test_rows_of_parquet_are_replaced_by_their_own_successors_alone(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("fsspec")
    out = str(tmp_path / "p.parquet")
    one, two, again = RayTask(0, "/v/a.mp4", ""), RayTask(0, "/v/copy.mp4", ""), RayTask(7, "/v/a.mp4", "")
    assert existing(out, [one]) == set()
    (tmp_path / "p.parquet").mkdir()
    assert existing(out, [one]) == set()

    def add(task: RayTask, document: str) -> None:
        append_row(out, task, Record(task.source, (), "done", input_sha256="same", finished_at=""), document)

    add(one, "first")
    add(two, "second")
    add(again, "third")
    (tmp_path / "p.parquet" / ".x.parquet.part").write_bytes(b"of a run that was killed")
    table = parquet.read_table(out)
    assert dict(zip(table["source"].to_pylist(), table["document"].to_pylist(), strict=True)) == {
        "/v/a.mp4": "third",
        "/v/copy.mp4": "second",
    }
    assert existing(out, [one, two, RayTask(1, "/v/new.mp4", "")]) == {one, two}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An object store of buckets that are there or not, in memory, whose errors are of a class of its own."""
    fsspec = pytest.importorskip("fsspec")

    class StoreError(Exception):
        pass

    class Store(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
        protocol = "gs"
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = ["", "/bucket"]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return cast(str, super()._strip_protocol(path.removeprefix("gs://")))

        def makedirs(self, path: str, exist_ok: bool = False) -> None:
            raise AssertionError(f"nobody asked for a bucket or folder {path}, {exist_ok}")

        def put_file(self, here: str, there: str, **_: object) -> None:
            self._check(there)
            self.pipe_file(there, Path(here).read_bytes())

        def get_file(self, there: str, here: str, **_: object) -> None:
            self._check(there)
            Path(here).write_bytes(self.cat_file(there))

        def isdir(self, path: str) -> bool:
            self._check(path)
            return bool(super().isdir(path))

        def _check(self, path: str) -> None:
            if not path.startswith("/bucket/"):
                raise StoreError("the bucket of https://me:secret@none/clips?signature=secret does not exist,\nsays the store")

    monkeypatch.setitem(importlib.import_module("fsspec.registry")._registry, "gs", Store)
    return Store(skip_instance_cache=True)


def test_errors_of_a_store_are_one_line_that_names_what_was_asked_for(store: Any) -> None:
    with pytest.raises(InputError) as refused:
        sources_of(["gs://none/clips"])
    assert str(refused.value) == "gs://none/clips: cannot be listed (the bucket of https://none/clips does not exist, says the store)"
    store.pipe_file("/bucket/list.parquet", b"no parquet")
    store.pipe_file("/bucket/list.txt", b"\xff\xfe\xff")
    for name in ("list.txt", "list.parquet", "none.txt"):
        with pytest.raises(InputError, match=f"gs://bucket/{name}: "):
            sources_of([f"gs://bucket/{name}"])


def test_what_an_actor_says_of_a_store(store: Any, tiny_pipeline: Path, videos: Path) -> None:
    parser = RayParser(read_pipeline(str(tiny_pipeline)), "cpu", torch.get_num_threads())
    store.pipe_file("/bucket/a.mp4", (videos / "a.mp4").read_bytes())
    store.pipe_file("/bucket/broken.mp4", b"no video")

    def call(source: str, output: str) -> dict[str, Any]:
        row = parser({"number": 3, "source": source, "output": output})
        assert row["number"] == 3
        return cast(dict[str, Any], json.loads(row["record"]))

    done = call("gs://bucket/a.mp4", "gs://bucket/out/a.mp4.json")
    assert (done["error"], done["outcome"], done["outputs"], done["frames"]) == (None, "done", ["gs://bucket/out/a.mp4.json"], 6)
    assert len(json.loads(store.cat_file("/bucket/out/a.mp4.json"))["frames"]) == 6
    failed = [
        call("gs://bucket/a.mp4", "gs://none/a.mp4.json"),
        call("gs://none/a.mp4", "gs://bucket/b.json"),
        call("gs://bucket/broken.mp4", "gs://bucket/c.json"),
    ]
    assert [(row["outcome"], row["outputs"], row["error"].partition(" (")[0]) for row in failed] == [
        ("failed", [], "gs://none/a.mp4.json: cannot be written"),
        ("failed", [], "gs://none/a.mp4: cannot be read"),
        ("failed", [], "gs://bucket/broken.mp4: not a readable video"),
    ]
