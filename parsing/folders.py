"""Folders that a command writes: they appear whole, and of an earlier one no file is replaced but those that it wrote."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from parsing.errors import InputError
from parsing.files import claim_outputs
from parsing.json_files import read_json

MARKER = "export.json"  # lists the files that a command wrote, so that they alone are replaced


def claim_folder(folder: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> None:
    """Make sure, before anything runs, that a command may write a folder.

    Args:
        overwrite: whether the files of an earlier call may be replaced; files that it did not write always stay.

    Raises:
        InputError: it exists and is no folder, or is not empty, or cannot be written, or an input is among what is replaced.
    """
    if not folder.is_dir():
        claim_outputs([folder], overwrite=False)
        return
    if any(folder.iterdir()):
        if not overwrite:
            raise InputError(f"{folder}: exists and is not empty; choose another --out or give --overwrite")
        if not (folder / MARKER).is_file():
            raise InputError(f"{folder}: holds no {MARKER} of an earlier export, so nothing in it is replaced; choose another --out")
        owned = {_place(folder / name): folder / name for name in (MARKER, *_listed(folder))}
        for path in inputs:  # by their places: another link to the file is left as it is when a name goes
            if (lost := owned.get(_place(path)) or owned.get(Path(os.path.realpath(path)))) is not None:
                raise InputError(f"{lost}: is an input ({path}), which no output may replace; choose another --out")
        claim_outputs(owned.values(), overwrite=True)


def _place(path: Path) -> Path:
    """Where the name of a file lies, whatever a link of this name leads to."""
    return Path(os.path.realpath(path.parent)) / path.name


@contextmanager
def written_folder(folder: Path, what: str) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and vanishes when not.

    Where the folder exists, files of an earlier call go and the new ones take their place; see `claim_folder`.

    Args:
        what: the command, for the list of files that stays in the folder.

    Raises:
        InputError: at exit, where a new file would replace what no earlier call wrote, or a new link leads to what goes; then
            the folder is left as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder if folder.is_dir() else folder.parent  # a folder may be a file system of its own, or a link to one
    temporary = beside / f".{secrets.token_hex(4)}.partwise"
    temporary.mkdir()
    try:
        yield temporary
        names = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
        (temporary / MARKER).write_text(json.dumps({"written_by": what, "files": names}, indent=1) + "\n", encoding="utf-8")
        if folder.is_dir():
            _replace(folder, temporary, names)
        else:
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, temporary: Path, names: Sequence[str]) -> None:
    own = {MARKER, *_listed(folder)} if (folder / MARKER).is_file() else set()
    _check_places(folder, [MARKER, *names], own)
    _check_links([temporary / name for name in names], [folder / name for name in own])
    for name in own - {MARKER}:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    for name in (MARKER, *names):  # the list first: where the rest is cut off, a later call knows what is whose
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).replace(folder / name)


def _check_places(folder: Path, names: Iterable[str], own: Collection[str]) -> None:
    """Raises InputError where something lies in the place of a new file, or of a folder above it, that is not `own`."""
    folders = {above.as_posix() for name in names for above in PurePosixPath(name).parents[:-1]}
    for name in sorted(folders.union(names) - set(own)):
        path = folder / name
        if os.path.lexists(path) and (name not in folders or path.is_symlink() or not path.is_dir()):
            raise InputError(f"{path}: exists, and no earlier export wrote it; choose another --out")


def _check_links(new: Iterable[Path], own: Iterable[Path]) -> None:
    """Raises InputError where a new link leads to a file of an earlier call: it would lead to itself."""
    going = {os.path.realpath(path) for path in own if not path.is_symlink()}
    for path in new:
        if path.is_symlink() and (lost := os.path.realpath(path)) in going:
            raise InputError(f"{lost}: is an input, which no output may replace; choose another --out")


def _listed(folder: Path) -> list[str]:
    """The files and links that an earlier call lists, those below the folder alone."""
    found = read_json(folder / MARKER)
    names = found.get("files") if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{folder / MARKER}: expected an object with the names of 'files'; choose another --out")
    odd = next((name for name in names if not _is_below(folder, name)), None)
    if odd is not None:
        raise InputError(f"{folder / MARKER}: {odd!r:.80} does not lie in the folder")
    return [name for name in names if (folder / name).is_file() or (folder / name).is_symlink()]


def _is_below(folder: Path, name: str) -> bool:
    """Whether a file lies in a folder itself, and not behind a link to another one."""
    if "\0" in name or ".." in PurePosixPath(name).parts:
        return False
    return Path(os.path.realpath((folder / name).parent)).is_relative_to(os.path.realpath(folder))
