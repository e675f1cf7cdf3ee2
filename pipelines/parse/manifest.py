"""The manifest of a folder of parses: a JSON line for each video, with what it was made from and what became of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from parsing.errors import InputError
from parsing.files import text_name
from parsing.json_files import read_json_lines
from pipelines.parse.sources import MANIFEST, Job

Result = Literal["done", "failed", "skipped"]


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
            lines = read_json_lines(self.path, may_be_cut=True)
            if not all(isinstance(line, dict) and "source" in line and "outcome" in line for line in lines):
                raise InputError(
                    f"{self.path}: no manifest of an earlier run, in whose place this run's would go; move it, or choose another --out"
                )
            self.before = {str(line["source"]): line for line in lines if line["outcome"] == "done"}

    def add(self, record: Record) -> None:
        """Append a line, whole: one write at the end of the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(record), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def made_otherwise(self, sources: list[str], config_sha256: str) -> list[str]:
        """Those of the sources whose outputs an earlier run made with another config or other weights."""
        known = {source: self.before[source].get("config_sha256") for source in sources if source in self.before}
        return [source for source, sha256 in known.items() if sha256 != config_sha256]


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
