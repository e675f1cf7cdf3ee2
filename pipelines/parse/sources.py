"""What the command line's sources mean: which files are parsed, and where their results go."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parsing.errors import InputError
from parsing.media.addresses import Address, live_address
from parsing.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

COPY_SUFFIXES = (".parsed.mp4", ".parsed.png")  # of annotated copies of videos and of images
STDOUT = Path("-")
MOST_SUMMARY = 64 * 2**20  # bytes of the last one of JSON lines
MANIFEST = "manifest.jsonl"  # of a folder of parses; its name is no name of a parse
DOCUMENT_SUFFIXES = (".json", ".jsonl")


@dataclass(frozen=True)
class Job:
    """One source and the files that it becomes; a path is None where none is wanted.

    `json_path` may be `STDOUT`.
    """

    source: Path | Address
    json_path: Path | None
    drawing_path: Path | None

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.json_path, self.drawing_path) if path not in (None, STDOUT)]

    @property
    def is_done(self) -> bool:
        """Whether all outputs exist and are whole; JSON lines, which grow as they are written, are so with their summary."""
        return bool(self.outputs) and all(path.is_file() and _is_whole(path) for path in self.outputs)


def plan_jobs(sources: Sequence[str], out: Path | None, save_video: bool) -> list[Job]:
    """Find the files that sources name, or the live source, and decide where each result goes.

    A single file, or a live source, with an `out` that ends in .json or .jsonl is written there, and with `-` to the
    standard output; without `out` it is not written. Everything else goes to the folder `out`, as NAME.json
    with the whole name of the file; files of equal names keep their paths below the folder that all sources share.

    Raises:
        InputError: a source names nothing, or `out` is no name for its results.
    """
    live = [address for source in sources if (address := live_address(source)) is not None]
    if live:
        return [_live_job(live[0], len(sources), out, save_video)]
    files = list({os.path.abspath(file): file for source in sources for file in files_of(source)}.values())  # noqa: PTH100
    if out is None or out == STDOUT or (out.suffix in DOCUMENT_SUFFIXES and not out.is_dir()):
        if len(files) > 1 or Path(sources[0]).is_dir():
            raise InputError(f"--out {out}: {len(files)} inputs need a folder, not one document")
        return [_job(files[0], out, save_video)]
    if re.fullmatch(r"\.[A-Za-z]\w*", out.suffix) and not out.is_dir():
        raise InputError(
            f"--out {out}: expected NAME.json or NAME.jsonl for one source, or a folder, whose name has no suffix unless it exists"
        )
    return [_job(file, out / f"{name}.json", save_video) for file, name in zip(files, _names(files), strict=True)]


def _names(files: Sequence[Path]) -> list[str]:
    """The files' names, with their folders where two names are equal."""
    counts = Counter(file.name for file in files)
    places = [os.path.abspath(file) for file in files]  # noqa: PTH100  # links keep their names
    shared = os.path.commonpath([os.path.dirname(place) for place in places])  # noqa: PTH120
    return [file.name if counts[file.name] == 1 else os.path.relpath(place, shared) for file, place in zip(files, places, strict=True)]


def files_of(source: str) -> list[Path]:
    """Videos and images that a source names: a file, those of a folder, or those that fit a pattern.

    Annotated copies that earlier calls left in a folder are no sources.

    Raises:
        InputError: a folder or pattern has none, or the source is a live one.
    """
    if (address := live_address(source)) is not None:
        raise InputError(f"{address}: a live source; expected a file, a folder or a pattern")
    path = Path(source)
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES + IMAGE_SUFFIXES and _is_source(file)]
        if not found:
            raise InputError(f"{source}: folder without videos or images ({', '.join(VIDEO_SUFFIXES + IMAGE_SUFFIXES)})")
        return found
    if not os.path.lexists(path) and glob.has_magic(source):
        matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]  # noqa: PTH207
        found = [file for file in matches if file.is_file() and _is_source(file)]
        if not found:
            raise InputError(f"{source}: no file matches")
        return found
    return [path]  # whether it can be read is the reader's to say, so that other inputs still run


def _is_source(file: Path) -> bool:
    return not file.name.startswith(".") and not file.name.endswith(COPY_SUFFIXES)


def _is_whole(path: Path) -> bool:
    if path.suffix != ".jsonl":
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MOST_SUMMARY))
        end = file.read()
    return end.endswith(b"\n") and end[:-1].rpartition(b"\n")[2].startswith(b'{"tracks"')


def _live_job(address: Address, num_sources: int, out: Path | None, save_video: bool) -> Job:
    if num_sources > 1:
        raise InputError(f"{address}: a live source has no end, so it is parsed alone; expected no other source")
    if out is not None and out != STDOUT and (out.suffix not in DOCUMENT_SUFFIXES or out.is_dir()):
        raise InputError(f"--out {out}: expected NAME.json, NAME.jsonl or - for a live source")
    if save_video and (out is None or out == STDOUT):
        raise InputError("--save-video: expected --out NAME.json or NAME.jsonl, beside which the copy goes")
    return Job(address, out, out.with_suffix(COPY_SUFFIXES[0]) if save_video and out is not None else None)


def _job(file: Path, json_path: Path | None, save_video: bool) -> Job:
    if json_path is None or json_path == STDOUT:
        if save_video:
            raise InputError("--save-video: expected --out NAME.json or NAME.jsonl, beside which the copy goes")
        return Job(file, json_path, None)
    suffix = COPY_SUFFIXES[file.suffix.lower() in IMAGE_SUFFIXES]
    return Job(
        file, json_path, json_path.with_name(json_path.name.removesuffix(".json").removesuffix(".jsonl") + suffix) if save_video else None
    )
