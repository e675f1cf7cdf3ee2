"""Folders that a command writes: they appear whole, and of an earlier one no file is replaced but those that it wrote."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator
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
        claim_outputs([folder / name for name in (MARKER, *_listed(folder))], inputs, overwrite=True)


@contextmanager
def written_folder(folder: Path, what: str) -> Iterator[Path]:
    """A temporary folder beside `folder` that becomes it when the block ends well, and vanishes when not.

    Where the folder exists, files of an earlier call go and the new ones take their place; see `claim_folder`.

    Args:
        what: the command, for the list of files that stays in the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{secrets.token_hex(4)}.partwise")
    temporary.mkdir()
    try:
        yield temporary
        names = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
        (temporary / MARKER).write_text(json.dumps({"written_by": what, "files": names}, indent=1) + "\n", encoding="utf-8")
        if folder.is_dir():
            _replace(folder, temporary, [*names, MARKER])
        else:
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, temporary: Path, names: Iterable[str]) -> None:
    for name in _listed(folder) if (folder / MARKER).is_file() else ():
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).replace(folder / name)


def _listed(folder: Path) -> list[str]:
    """The files that an earlier call lists, those below the folder alone."""
    found = read_json(folder / MARKER)
    names = found.get("files") if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{folder / MARKER}: expected an object with the names of 'files'; choose another --out")
    odd = next((name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts), None)
    if odd is not None:
        raise InputError(f"{folder / MARKER}: {odd!r:.80} does not lie in the folder")
    return [name for name in names if (folder / name).is_file() and not (folder / name).is_symlink()]
