"""Writing files: none is ever seen half-written, none is replaced without `--overwrite`, no output is an input."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parsing.errors import InputError

_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.partwise(\..*)?")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SUFFIX_LENGTH = 16  # the name of a temporary file must fit wherever the name of the file itself does


def text_name(path: Path) -> str:
    r"""The name of a file as text that UTF-8 can hold: bytes of it that are no UTF-8 become `\xff`."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, with its suffix, that becomes `path` when the block ends well and vanishes when not.

    The folder is made where it is missing. The file is locked for as long as this process lives, which tells
    `claim_outputs` of another process which temporary files are stale.

    Raises:
        OSError: no file of this name can be made, which is told before the block begins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.lstat()  # a name that is too long must not be noticed only when the work is done
    temporary = path.with_name(f".{secrets.token_hex(4)}.partwise{path.suffix[:_SUFFIX_LENGTH]}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        with suppress(OSError):  # some network folders know no locks; then stale files stay
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno in _FULL:
            error.filename, error.filename2 = str(path), None  # what is full is not told, or by a name that nobody knows
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def is_full(error: OSError) -> bool:
    """Whether a disk, a quota or the largest size of a file was reached."""
    return error.errno in _FULL


def claim_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = (), *, overwrite: bool = False) -> None:
    """Make sure, before anything runs, that a command may write its outputs; every command asks here.

    Temporary files that dead processes left in the folders of the outputs are removed. Of several processes under
    torchrun, the first alone writes, so it alone asks.

    Args:
        inputs: files that the command reads; those that do not exist are passed over.
        overwrite: whether outputs may exist already.

    Raises:
        InputError: an output is one of the inputs, under whatever name, or exists, or is named twice, or cannot be written.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    outputs = list(outputs)
    known = {identity: path for path in inputs if (identity := _identity(path)) is not None}
    places: set[Path] = set()
    for path in outputs:
        place = Path(os.path.realpath(path.parent)) / path.name
        if place in places:
            raise InputError(f"{path}: named for two outputs")
        places.add(place)
        _check_output(path, known, overwrite)
    for folder in sorted({Path(os.path.abspath(path)).parent for path in outputs}):  # noqa: PTH100  # links are kept
        _check_folder(folder)
        _remove_stale(folder)


def _identity(path: Path) -> tuple[int, int] | None:
    """What links to one file have in common."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_output(path: Path, inputs: dict[tuple[int, int], Path], overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    identity = _identity(path)
    if identity in inputs:
        raise InputError(f"{path}: is an input ({inputs[identity]}), which no output may replace; choose another --out")
    if identity is not None and not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}; expected the name of a file to write")
    if not overwrite:
        raise InputError(f"{path}: exists; choose another --out or give --overwrite")


def _check_folder(folder: Path) -> None:
    """Write into a folder, or into what it would be made in, and leave nothing."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise InputError(f"{there}: is no folder, and outputs would go below it")
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None


def _remove_stale(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):  # locked: its process lives
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(handle)


@contextmanager
def naming_full_disk(path: Path, num_bytes: int) -> Iterator[None]:
    """Where the disk does not hold a file, say how much is missing.

    Args:
        num_bytes: that the file needs, about.

    Raises:
        OSError: as it was raised inside, with the name of the file and both sizes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        missing = f", {_megabytes(num_bytes - free)} are missing" if num_bytes > free else ""
        sizes = f"it needs about {_megabytes(num_bytes)}, {_megabytes(free)} are free{missing}"
        raise OSError(error.errno, f"{os.strerror(error.errno)}: {sizes}", str(path)) from None


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.3g} MB" if num_bytes < 1e9 else f"{num_bytes / 1e6:.0f} MB"
