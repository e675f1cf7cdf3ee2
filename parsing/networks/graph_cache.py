"""Graphs that were made once, in files."""

from __future__ import annotations

import hashlib
import inspect
import logging
from contextlib import suppress
from pathlib import Path

from torch import nn

from parsing.files import atomic
from parsing.networks.zoo import home
from parsing.threads import in_threads

log = logging.getLogger(__name__)
MOST_KEPT = 64  # files


@in_threads(1)
def place_of(what: str, owner: nn.Module, suffix: str) -> Path:
    """Where a graph lies, under the digest of all that it depends on.

    Args:
        what: the method, its shapes and the runtime.
        owner: the module, whose numbers and code count too.
    """
    found = hashlib.sha256(f"{what} {owner}".encode())
    for name, tensor in sorted([*owner.named_parameters(), *owner.named_buffers()], key=lambda item: item[0]):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).numpy().data)
    for file in sorted({inspect.getsourcefile(type(module)) or "" for module in owner.modules()} - {""}):
        found.update(Path(file).read_bytes())
    return home() / "graphs" / f"{found.hexdigest()}{suffix}"


_REFUSED = "refused: "


def refusal_in(place: Path) -> str | None:
    """Why no graph is kept and none will be; empty where one is, None where nothing is."""
    try:
        with place.open("rb") as file:
            is_refusal = file.read(len(_REFUSED)) == _REFUSED.encode()
            reason = file.read().decode() if is_refusal else ""
    except OSError:
        return None
    with suppress(OSError):
        place.touch()  # it is in use
    return reason


def keep_refusal(place: Path, reason: str) -> None:
    keep(place, f"{_REFUSED}{reason}".encode())


def keep(place: Path, content: bytes) -> None:
    """Put a file into the cache, and take out those that nobody has used for longest; a cache that cannot be written is left."""
    try:
        with atomic(place) as temporary:
            temporary.write_bytes(content)
        files = sorted((file for file in place.parent.iterdir() if not file.name.startswith(".")), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST_KEPT]:
            file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: the graph cannot be kept (%s), so it will be made again", place.parent, error.strerror)
