"""Files on any file system that fsspec knows: what may be opened, what is told of it, and how a file is put there."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.media.addresses import shown_address

STORES = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")  # whose names may hold "?", "#", and "container@account"
WEB = ("http", "https")
SCHEMES = (*STORES, *WEB)
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def file_system(path: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it.

    Raises:
        InputError: its scheme is not known or needs a package that is not installed, or it holds what is no part of a place.
    """
    scheme = URL.match(path)
    if scheme is None:  # fsspec would take "::" in a name for a chain of file systems
        return import_extra("fsspec.implementations.local", "ray").LocalFileSystem(), os.path.abspath(path)  # noqa: PTH100  # links keep their names
    if scheme[1] not in SCHEMES:
        raise InputError(f"{shown(path)}: expected a path, or a URL of {', '.join(SCHEMES)}")
    if scheme[1] in STORES and _has_secret(path):
        raise InputError(f"{shown(path)}: expected no user and no password in it; the libraries of stores take theirs from the environment")
    if "::" in path:
        raise InputError(f"{shown(path)}: expected a URL without '::'")
    try:
        return import_extra("fsspec.core", "ray").url_to_fs(path)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise InputError(f"{shown(path)}: cannot be reached ({error})") from None


def shown(path: str) -> str:
    """A path, or a URL without user and password, and of the web's without their query, which may be a signature.

    Raises:
        InputError: nobody can tell which part of it the password is.
    """
    scheme = URL.match(path)
    if scheme is None or (scheme[1] in STORES and not _has_secret(path)):
        return path
    return shown_address(path, scheme[1]) if scheme[1] in WEB else f"{scheme[0]}…"


def _has_secret(path: str) -> bool:
    """Whether a colon stands where a store's URL has its bucket, whose name holds none."""
    return ":" in path.partition("://")[2].partition("/")[0]


def _masked(found: re.Match[str]) -> str:
    """What is shown of a URL in somebody else's text."""
    try:
        return shown(found[0])
    except InputError:
        return "…"


@contextmanager
def reached(path: str, failed: str) -> Iterator[None]:
    """What is done to a path or URL on its file system, whose errors are of classes that only its own library knows.

    Args:
        failed: what to say of it then, as in "cannot be listed".

    Raises:
        InputError: it went wrong.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else " ".join(str(error).split()) or type(error).__name__
        reason = _ADDRESS.sub(_masked, reason)
        raise InputError(f"{shown(path)}: {failed} ({reason:.300})") from None


def put(made: Path, output: str) -> None:
    """Bring a file to its place, where it appears whole."""
    system, path = file_system(output)
    with reached(output, "cannot be written"):
        make_folder(system, posixpath.dirname(path))
        if is_local(system):
            part = f"{path}.part"
            system.put_file(str(made), part)
            Path(part).replace(path)
        else:
            system.put_file(str(made), path)


def make_folder(system: Any, folder: str) -> None:
    """On disks alone: object stores have no folders, and would make a bucket of a name that is misspelt."""
    if is_local(system):
        system.makedirs(folder, exist_ok=True)


def is_local(system: Any) -> bool:
    return "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)
