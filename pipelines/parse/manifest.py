"""The manifest of a folder of parses: a JSON line for each video, with what it was made from and what became of it."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from parsing.errors import InputError
from parsing.files import text_name
from parsing.json_files import parse_json
from parsing.memory import memory_budget, read_bounded
from pipelines.parse.sources import MANIFEST, Job

Result = Literal["done", "failed", "skipped"]
_BEGIN = b'{"source": "'  # of every line


@dataclass(frozen=True)
class Record:
    """What became of one video; hashes are sha256, None where the file cannot be read or nothing was run."""

    source: str
    outputs: tuple[str, ...]
    outcome: Result
    error: str | None = None
    input_sha256: str | None = None
    config_sha256: str | None = None
    frames: int = 0
    tracks: int = 0
    action: str = ""
    seconds: float = 0.0
    tries: int = 1
    finished_at: str = ""

    @classmethod
    def failed(cls, job: Job, error: str, tries: int = 1) -> Record:
        """Of a video that gave nothing."""
        return cls(str(job.source), (), "failed", error, tries=tries, finished_at=now())

    @classmethod
    def skipped(cls, job: Job) -> Record:
        """Of a video whose outputs were there before."""
        return cls(str(job.source), tuple(map(str, job.outputs)), "skipped")


class Manifest:
    """`manifest.jsonl` in the folder of the outputs, which further runs go on with.

    Raises:
        InputError: there is a file of this name that is none.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self.before: dict[str, dict[str, Any]] = {}  # by source, the last line of earlier runs
        if self.path.exists():
            self.before = {str(line["source"]): line for line in self._lines() if line["outcome"] == "done"}

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Those of earlier runs, without any that was cut off, as its writer was killed or the disk was full."""
        for line in read_bounded(self.path, memory_budget()).splitlines():
            value = _value(line)
            if isinstance(value, dict) and {"source", "outcome"} <= value.keys():
                yield value
            elif value is not None or not _BEGIN.startswith(line[: len(_BEGIN)]):
                raise InputError(
                    f"{self.path}: no manifest of an earlier run, in whose place this run's would go; move it, or choose another --out"
                )

    def add(self, record: Record) -> None:
        """Append a line, whole, behind whole lines."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = memoryview(json.dumps(asdict(record), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        with self.path.open("ab+", buffering=0) as file:
            with suppress(OSError):  # some network folders know no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            _mend(file)
            while line:
                line = line[file.write(line) :]

    def made_otherwise(self, sources: list[str], config_sha256: str) -> list[str]:
        """Those of the sources whose outputs an earlier run made with another config or other weights."""
        known = {source: self.before[source].get("config_sha256") for source in sources if source in self.before}
        return [source for source, sha256 in known.items() if sha256 != config_sha256]


def _mend(file: FileIO) -> None:
    """End a last line whose end alone is missing; of one that was cut off nothing stays."""
    size = file.seek(0, os.SEEK_END)
    if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
        data = os.pread(file.fileno(), size, 0)
        begin = data.rfind(b"\n") + 1
        if _value(data[begin:]) is None:
            file.truncate(begin)
        else:
            file.write(b"\n")


def _value(line: bytes) -> Any:
    """What a line says; None where it is no JSON, as one that was cut off."""
    try:
        return parse_json(line, MANIFEST)
    except InputError:
        return None


def file_sha256(path: Path) -> str | None:
    """Of a file's bytes; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def config_sha256(settings: Any, weights: list[str | None]) -> str:
    """Of a pipeline's settings and the hashes of its weights, whatever files these stand in."""
    text = json.dumps([_plain(settings), weights], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return text_name(value) if isinstance(value, Path) else value
