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
from parsing.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

COPY_SUFFIXES = (".parsed.mp4", ".parsed.png")  # of annotated copies of videos and of images
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Job:
    """One source and the files that it becomes; `drawing_path` is None where no annotated copy is wanted."""

    source: Path
    json_path: Path
    drawing_path: Path | None

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.json_path, self.drawing_path) if path is not None]

    @property
    def is_done(self) -> bool:
        """Whether all outputs exist; as they appear whole, nothing is left to do then."""
        return all(path.is_file() for path in self.outputs)


def plan_jobs(sources: Sequence[str], out: Path, save_video: bool) -> list[Job]:
    """Find the files that sources name and decide where each result goes.

    A single file with an `out` that ends in .json is written there. Everything else goes to the folder `out`, as NAME.json
    with the whole name of the file; files of equal names keep their paths below the folder that all sources share.

    Raises:
        InputError: a source names nothing, or `out` is no name for its results.
    """
    files = list({os.path.abspath(file): file for source in sources for file in files_of(source)}.values())  # noqa: PTH100
    if out.suffix == ".json" and not out.is_dir():
        if len(files) > 1 or Path(sources[0]).is_dir():
            raise InputError(f"--out {out}: {len(files)} inputs need a folder, not one .json file")
        return [_job(files[0], out, save_video)]
    if re.fullmatch(r"\.[A-Za-z]\w*", out.suffix) and not out.is_dir():
        raise InputError(f"--out {out}: expected NAME.json for one source, or a folder, whose name has no suffix unless it exists")
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
        InputError: a folder or pattern has none, or the source is an address on the network.
    """
    if _ADDRESS.match(source):
        raise InputError(f"{source}: an address; expected a file, a folder or a pattern: save the stream to a file first")
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


def _job(file: Path, json_path: Path, save_video: bool) -> Job:
    suffix = COPY_SUFFIXES[file.suffix.lower() in IMAGE_SUFFIXES]
    return Job(file, json_path, json_path.with_name(json_path.name.removesuffix(".json") + suffix) if save_video else None)
