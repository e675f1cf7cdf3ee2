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
        own = (MARKER, *_listed(folder))
        _check_inputs(folder, own, inputs)
        claim_outputs([folder / name for name in own], overwrite=True)


def _check_inputs(folder: Path, own: Iterable[str], inputs: Iterable[Path]) -> None:
    """Raises InputError where an input is one of our files by its place; other links to it stay as they are when its name goes."""
    top = os.path.realpath(folder)
    places = {os.path.join(top, name): folder / name for name in own}  # noqa: PTH118  # there are many
    for path in inputs:
        place = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
        if (lost := places.get(place) or places.get(os.path.realpath(path))) is not None:
            raise InputError(f"{lost}: is an input ({path}), which no output may replace; choose another --out")


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
    links = (temporary / name for name in names if (temporary / name).is_symlink())
    _check_inputs(folder, [name for name in own if not (folder / name).is_symlink()], [link.resolve() for link in links])
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


def _listed(folder: Path) -> list[str]:
    """The files and links that an earlier call lists, those below the folder alone."""
    found = read_json(folder / MARKER)
    names = found.get("files") if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{folder / MARKER}: expected an object with the names of 'files'; choose another --out")
    above = {name: str(PurePosixPath(name).parent) for name in names}
    below = {place for place in set(above.values()) if _is_below(folder, place)}
    odd = next((name for name in names if above[name] not in below or "\0" in name or name == ".."), None)
    if odd is not None:
        raise InputError(f"{folder / MARKER}: {odd!r:.80} does not lie in the folder")
    return [name for name in names if (folder / name).is_file() or (folder / name).is_symlink()]


def _is_below(folder: Path, name: str) -> bool:
    """Whether this is the folder itself or one below it, and not behind a link to another one."""
    if "\0" in name or ".." in PurePosixPath(name).parts:
        return False
    return Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))
