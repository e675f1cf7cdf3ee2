"""Files from the network, only where a user asked for them; live sources aside, no other place opens a connection."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from parsing.errors import InputError
from parsing.progress import Counter

log = logging.getLogger(__name__)
logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of every retry
TIMEOUTS_S = (10.0, 30.0)  # to connect, and without a byte
MAX_BYTES = 16 * 2**30
_SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 2**16  # what is lost of a transfer that is cut
_CUT = (requests.exceptions.ChunkedEncodingError, requests.ConnectionError, requests.Timeout)


class NotThereError(InputError):
    """The server has no such file."""


class ForbiddenError(InputError):
    """The server wants to know who asks, or does not give the file to everybody."""


_KINDS = {401: ForbiddenError, 403: ForbiddenError, 404: NotThereError}


def offline() -> bool:
    """Whether the user forbids the network: `PARTWISE_OFFLINE=1`, which `--offline` sets."""
    return os.environ.get("PARTWISE_OFFLINE", "0") not in ("", "0")


def download(url: str, path: Path, sha256: str) -> None:
    """Fetch a file, going on where a former try stopped (`PATH.part`); it appears under its name whole and checked.

    Proxies are those of the environment (`https_proxy`, `no_proxy`, …), as `requests` reads them.

    Args:
        sha256: its hexadecimal digits, or the first of them; empty checks only what the server itself says, as Hugging Face's does.

    Raises:
        InputError: there is no connection, the server refuses, or what it gives is another file.
        NotThereError, ForbiddenError: it has no such file, or does not give it.
    """
    if offline():
        raise InputError("the network is not asked (--offline or PARTWISE_OFFLINE)")
    log.info("downloading %s", url)
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with requests.Session() as session:
        retries = HTTPAdapter(max_retries=Retry(1, backoff_factor=0.2, status_forcelist=(429, 502, 503, 504), raise_on_status=False))
        session.mount("http://", retries)
        session.mount("https://", retries)
        try:
            while (told := _transfer(session, url, part)) is None:
                pass
        except requests.HTTPError as error:
            kind = _KINDS.get(error.response.status_code, InputError)
            raise kind(f"the server answers {error.response.status_code} {error.response.reason}") from None
        except requests.RequestException as error:
            raise InputError(f"no connection ({type(error).__name__})") from None
    try:
        check_hash(part, sha256 or told)
    except InputError:
        part.unlink()
        raise
    part.replace(path)


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path, sha256: str) -> None:
    """Raises InputError where a file is not the one whose hash begins with these digits."""
    found = digest(path)
    if not found.startswith(sha256):
        raise InputError(f"{path.name}: its sha256 begins with {found[:8]}, expected {sha256}: another file, or a damaged one")


def _transfer(session: requests.Session, url: str, part: Path) -> str | None:
    """The sha256 that the server says, often none, once all of the file is there; None where the connection broke on the way."""
    before = _size(part)
    try:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={before}-"} if before else {})
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUTS_S) as answer:
            if answer.status_code != requests.codes.requested_range_not_satisfiable:  # which says that there is no more
                answer.raise_for_status()
                _receive(answer, url, part, before)
        return _told(answer)
    except _CUT as error:
        if _size(part) > before:
            return None
        if before == 0:
            raise
        raise InputError(f"cut off ({type(error).__name__}); the next call goes on after {before:,} bytes") from None


def _told(answer: requests.Response) -> str:
    """The sha256 of a large file, which Hugging Face's server says where it sends on to the place of its storage."""
    tags = [one.headers.get("X-Linked-ETag", "").strip('"') for one in [*answer.history, answer]]
    return next((tag for tag in tags if _SHA256.fullmatch(tag)), "")


def _receive(answer: requests.Response, url: str, part: Path, before: int) -> None:
    goes_on = answer.status_code == requests.codes.partial_content
    if goes_on and not answer.headers.get("Content-Range", "").startswith(f"bytes {before}-"):
        raise InputError("the server answers with another part of the file than was asked for")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise InputError("a web page came instead of the file; a proxy or a sign-in page may stand between")
    if url.startswith("https:") and not answer.url.startswith("https:"):
        raise InputError("the server sends on to a connection that is not encrypted")
    length = answer.headers.get("Content-Length", "")
    left = int(length) if length.isdigit() else 0
    if left > min(MAX_BYTES, free := shutil.disk_usage(part.parent).free):
        raise InputError(f"{left / 1e6:,.0f} MB are to come, at most {MAX_BYTES / 1e6:,.0f} are taken and {free / 1e6:,.0f} are free")
    quiet = not log.isEnabledFor(logging.INFO)
    with part.open("ab" if goes_on else "wb") as file, Counter(part.stem, left >> 20, quiet, "MiB") as counter:
        for number, chunk in enumerate(answer.iter_content(CHUNK), 1):
            file.write(chunk)
            if number % (2**20 // CHUNK) == 0:
                counter.advance()
            if file.tell() > MAX_BYTES:
                raise InputError(f"more than {MAX_BYTES / 1e6:,.0f} MB came, and no end")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
