"""Arrays on disk by the hash of what they were made from, as many as fit; those not used for longest go first.

Libraries for this keep pickles, which could execute; these files hold one array each.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from parsing.array_files import read_npy
from parsing.configs import config
from parsing.errors import InputError
from parsing.files import atomic
from parsing.types import Array

log = logging.getLogger(__name__)


@config
class CacheConfig:
    """Where results are kept, and how many megabytes (10^6 bytes) of them at most."""

    folder: str
    most_mb: Annotated[float, Field(gt=0, le=1e7)] = 1000.0

    def build(self) -> ArrayCache:
        return ArrayCache(Path(self.folder), round(self.most_mb * 1e6))


class ArrayCache:
    """Arrays by key; several processes may share a folder.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: results cannot be kept there ({error.strerror})") from None

    def get(self, key: str) -> Array | None:
        """What was kept under the key, if it still is; a damaged file counts as none."""
        path = self._path(key)
        try:
            os.utime(path)
            return read_npy(path)
        except FileNotFoundError:
            return None
        except (OSError, InputError) as error:
            log.warning("%s; made anew", error)
            return None

    def put(self, key: str, array: Array) -> None:
        """Keep an array, and drop those that were not asked for longest until all fit."""
        try:
            with atomic(self._path(key)) as temporary:
                np.save(temporary, array, allow_pickle=False)
        except OSError as error:
            log.warning("%s: not kept (%s)", self._path(key), error.strerror)
            return
        used = 0
        for path, size, _ in sorted(self._files(), key=lambda file: -file[2]):
            used += size
            if used > self.most_bytes:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _files(self) -> list[tuple[Path, int, int]]:
        """Path, bytes and time of last use of every file; one that another process drops meanwhile is left out."""
        found = []
        for path in self.folder.glob("[0-9a-f]*.npy"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            found.append((path, facts.st_size, facts.st_mtime_ns))
        return found


def key_of(settings: str, frames: Array) -> str:
    """Hash of everything that a result depends on."""
    digest = hashlib.sha256(f"{settings} {frames.shape} {frames.dtype}".encode())
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()
