"""What the command line's sources mean: which files are parsed, and where their results go."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parsing.errors import InputError
from parsing.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class Job:
    """One source and the files that it becomes; `drawing_path` is None where no annotated copy is wanted."""

    source: Path
    json_path: Path
    drawing_path: Path | None


def plan_jobs(sources: Sequence[str], out: Path, save_video: bool, overwrite: bool) -> list[Job]:
    """Find the files that sources name and decide where each result goes.

    A single file with an `out` that ends in .json is written there; everything else goes to the folder `out`.

    Raises:
        InputError: a source names nothing, outputs would collide or exist, or the output cannot be written.
    """
    files = [file for source in sources for file in files_of(source)]
    single = out.suffix == ".json"
    if single and (len(files) > 1 or Path(sources[0]).is_dir()):
        raise InputError(f"--out {out}: {len(files)} inputs need a folder, not one .json file")
    folder = out.parent if single else out
    _check_folder(folder, create=not single)
    jobs = [_job(file, out if single else folder / f"{file.name}.json", save_video) for file in files]
    names = [job.json_path for job in jobs]
    for job in jobs:
        if names.count(job.json_path) > 1:
            raise InputError(f"{job.source}: another input of the same name would also be written to {job.json_path}")
        for path in (job.json_path, job.drawing_path):
            if path is not None and path.exists() and not overwrite:
                raise InputError(f"{path}: exists; choose another --out or give --overwrite")
    return jobs


def files_of(source: str) -> list[Path]:
    """Videos and images that a source names: a file, those of a folder, or those that fit a pattern.

    Raises:
        InputError: a folder or pattern has none.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES + IMAGE_SUFFIXES and not p.name.startswith("."))
        if not found:
            raise InputError(f"{source}: folder without videos or images ({', '.join(VIDEO_SUFFIXES + IMAGE_SUFFIXES)})")
        return found
    if not path.exists() and glob.has_magic(source):
        found = sorted(Path(match) for match in glob.glob(source, recursive=True) if Path(match).is_file())  # noqa: PTH207
        if not found:
            raise InputError(f"{source}: no file matches")
        return found
    return [path]  # whether it can be read is the reader's to say, so that other inputs still run


def _job(file: Path, json_path: Path, save_video: bool) -> Job:
    suffix = ".png" if file.suffix.lower() in IMAGE_SUFFIXES else ".mp4"
    return Job(file, json_path, json_path.with_suffix(suffix) if save_video else None)


def _check_folder(folder: Path, create: bool) -> None:
    if create:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {folder}: cannot make the folder ({error.strerror})") from None
    if not folder.is_dir():
        raise InputError(f"--out: folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise InputError(f"--out: folder {folder} cannot be written to")
