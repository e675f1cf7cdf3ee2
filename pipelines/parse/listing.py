"""Sources on any file system that fsspec knows: folders, patterns, lists and Parquet files of paths."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from pipelines.parse.sources import COPY_SUFFIXES, files_of
from pipelines.parse.stores import URL, file_system, reached, shown

PATH_COLUMN = "path"


def sources_of(named: Iterable[str]) -> list[str]:
    """Every video or image that sources name: a file, a folder, a pattern, a list (`.txt`, one a line), or a Parquet file.

    A Parquet file has its paths in a column `path`. Each may stand on this machine or be a URL.

    Raises:
        InputError: a source names nothing, a URL is of an unknown scheme, or two differ only in what is never written down.
    """
    found = list(dict.fromkeys(path for source in named for path in _expanded(source)))
    twice = next((name for name, count in Counter(map(shown, found)).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: named by several URLs that differ in user, password or query, which outputs do not tell apart")
    return found


def names_of(paths: Sequence[str]) -> list[str]:
    """The names of files, with their folders where two are equal."""
    paths = [shown(path) for path in paths]
    counts = Counter(posixpath.basename(path) for path in paths)
    folders = [posixpath.dirname(URL.sub("/", path)) for path in paths]
    shared = posixpath.commonpath(folders) if len(set(map(posixpath.isabs, folders))) == 1 else ""
    return [
        name if counts[name] == 1 else posixpath.relpath(posixpath.join(folder, name), shared or "/")
        for name, folder in zip(map(posixpath.basename, paths), folders, strict=True)
    ]


def _expanded(source: str) -> list[str]:
    if source.endswith(".parquet"):
        return _entries(_column(source), source)
    if source.endswith(".txt"):
        system, path = file_system(source)
        with reached(source, "cannot be read"):
            lines = system.cat_file(path).decode("utf-8-sig").split("\n")
        return _entries([line.strip() for line in lines if line.strip()], source)
    if URL.match(source) is None:
        return [os.path.abspath(file) for file in files_of(source)]  # noqa: PTH100  # links keep their names
    return _remote(source)


def _entries(paths: Sequence[str], source: str) -> list[str]:
    """The paths of a list, those that are no URLs below the folder that the list stands in."""
    if not paths:
        raise InputError(f"{shown(source)}: names no video")
    for path in filter(URL.match, paths):
        file_system(path)
    base = "" if URL.match(source) else os.path.dirname(os.path.abspath(source))  # noqa: PTH100, PTH120
    return [path if URL.match(path) or not base else os.path.join(base, path) for path in paths]  # noqa: PTH118


def _column(source: str) -> list[str]:
    parquet, system = import_extra("pyarrow.parquet", "ray"), file_system(source)
    with reached(source, f"expected a Parquet file with a column {PATH_COLUMN!r}"):
        column = parquet.read_table(system[1], columns=[PATH_COLUMN], filesystem=system[0]).column(PATH_COLUMN)
    return [str(value) for value in column.to_pylist() if value]


def _remote(source: str) -> list[str]:
    system, path = file_system(source)
    with reached(source, "cannot be listed"):
        if system.isdir(path):
            found = [entry for entry in system.ls(path, detail=False) if _is_video(entry)]
        else:
            marks = "*" if source.startswith("http") else "*?["  # a question mark begins the query of a URL
            found = system.glob(path) if any(mark in path for mark in marks) else [path]
    if not found:
        raise InputError(f"{shown(source)}: names no video")
    return [system.unstrip_protocol(entry) for entry in sorted(found)]


def _is_video(path: str) -> bool:
    name = posixpath.basename(path)
    return Path(name).suffix.lower() in VIDEO_SUFFIXES + IMAGE_SUFFIXES and not name.startswith(".") and not name.endswith(COPY_SUFFIXES)
