"""NumPy's files from strangers: what a header claims is held against the bytes that are there, before anything is allocated.

NumPy alone allocates what a header asks for, and zip archives grow a thousandfold when they are unpacked.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from parsing.errors import InputError
from parsing.memory import memory_budget
from parsing.types import Array

MAX_GROWTH, FREE_GROWTH = 100, 16 * 2**20  # a packed archive may grow by this factor, and by these bytes in any case
# What NumPy and zipfile raise on files that are damaged, or none of theirs.
_DAMAGES = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)


def read_npy(path: Path) -> Array:
    """The array of an `.npy` file.

    Raises:
        InputError: it cannot be read, holds Python objects, or its header claims other bytes than follow it.
    """
    try:
        with path.open("rb") as file:
            return _read_array(file, os.fstat(file.fileno()).st_size, path.name)
    except _DAMAGES as error:
        raise _refusal(path, error) from None


def read_npz(path: Path, names: Iterable[str]) -> dict[str, Array]:
    """Those of the named arrays that an `.npz` file has.

    Raises:
        InputError: it cannot be read, an array holds Python objects or is not as large as it claims, or the arrays would not
            fit into half of the free memory, or grow more than a hundredfold when they are unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in archive.namelist()}
            needed = sum(member.file_size for member in members.values())
            allowed = min(memory_budget(), MAX_GROWTH * path.stat().st_size + FREE_GROWTH)
            if needed > allowed:
                raise ValueError(f"claims {needed / 2**20:.0f} MiB of arrays, at most {allowed / 2**20:.0f} MiB are read")
            return {name: _read_member(archive, member, name) for name, member in members.items()}
    except _DAMAGES as error:
        raise _refusal(path, error) from None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Array:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed by method {member.compress_type}; expected what NumPy writes")
    with archive.open(member) as file:
        return _read_array(file, member.file_size, name)


def _read_array(file: IO[bytes], size: int, name: str) -> Array:
    """An array whose header and data have `size` bytes in all."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is of version {version}, expected 1.0 or 2.0")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not loaded")
    if min(shape, default=0) < 0 or claimed != there:
        raise ValueError(f"{name} claims {shape} of {dtype}, {claimed:.6g} bytes, and has {there}")
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _refusal(path: Path, error: BaseException) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else None
    return InputError(f"{path}: not a readable file of arrays ({' '.join((reason or str(error)).split()):.200})")
