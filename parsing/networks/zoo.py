"""Public checkpoints by name: `weights: zoo/NAME` in any config.

`zoo.tsv` says where they come from; nothing is shipped. On first use a file is downloaded into the cache, checked against its
hash, and turned into weights of this project once; model folders of Hugging Face stay as they are, with their weights as
safetensors. The cache is `PARTWISE_HOME`, or the user's cache folder.
"""

from __future__ import annotations

import csv
import functools
import io
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

import platformdirs
from filelock import FileLock, Timeout

from parsing.configs import nearest
from parsing.errors import InputError
from parsing.files import atomic
from parsing.networks.download import check_hash, digest, download

log = logging.getLogger(__name__)
PREFIX = "zoo/"
GRAPH = "end2end.onnx"  # the one file of OpenMMLab's archives that is wanted
SUFFIXES = {"onnx": ".onnx", "huggingface": ""}
MAX_GROWTH = 8  # of a graph over its archive; numbers hardly pack


@dataclass(frozen=True)
class Entry:
    """A public checkpoint.

    Args:
        stage: what it serves as.
        network: the component that it becomes.
        origin, target: the library that wrote it and what it becomes, as `pipelines.convert` takes them; `onnx` graphs and
            model folders (`huggingface`) stay as they are.
        url: of the file; of a model folder, of its `config.json`.
        sha256: of the file, or the first digits, which its authors put into its name; empty where nobody says.
        megabytes: of the file, from its tensors where its authors do not say; empty where this is not known.
        trained_on, figure: by its authors' word; `figure` was not measured here.
        labels: a list of `parsing.label_lists`; empty where the file has them or needs none.
        checked: how it was checked that such a file loads, see docs/zoo.md.
    """

    name: str
    stage: str
    network: str
    origin: str
    target: str
    url: str
    sha256: str
    megabytes: str
    licence: str
    trained_on: str
    figure: str
    labels: str
    checked: str

    @property
    def file(self) -> str:
        """Name of the file that is downloaded."""
        return PurePosixPath(self.url).name

    @property
    def weights(self) -> Path:
        """What its weights are called in the cache."""
        return home() / "zoo" / f"{self.name}{SUFFIXES.get(self.origin, '.safetensors')}"

    @property
    def is_here(self) -> bool:
        """Whether the cache has them."""
        return self.weights.exists()


def home() -> Path:
    """The folder of what was downloaded."""
    given = os.environ.get("PARTWISE_HOME")
    return Path(given) if given else platformdirs.user_cache_path("partwise")


@functools.cache
def entries() -> Mapping[str, Entry]:
    """The table, by name."""
    text = (resources.files("parsing.networks") / "zoo.tsv").read_text(encoding="utf-8")
    return {row["name"]: Entry(**row) for row in csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)}


def find(name: str) -> Entry:
    """An entry by its name, with or without `zoo/`.

    Raises:
        InputError: there is none; names the nearest.
    """
    known = entries()
    if (name := name.removeprefix(PREFIX)) not in known:
        close = nearest(name, known).partition("valid:")[0]
        raise InputError(f"{PREFIX}{name:.80}: no such entry; {close}`python -m pipelines.zoo list` names all")
    return known[name]


def fetch(name: str) -> Path:
    """The weights of an entry, from the cache, else downloaded and converted; of several processes one does the work.

    Raises:
        InputError: it cannot be downloaded, or is another file than the table says.
    """
    entry = find(name)
    if entry.is_here:
        return entry.weights
    entry.weights.parent.mkdir(parents=True, exist_ok=True)
    with _alone(entry):
        if not entry.is_here:
            _make(entry)
    return entry.weights


def _alone(entry: Entry) -> AbstractContextManager[object]:
    """A block that one process at a time is in."""
    lock = FileLock(f"{entry.weights}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("%s%s: waiting for another process that fetches it", PREFIX, entry.name)
        return lock.acquire()


def _make(entry: Entry) -> None:
    if entry.licence:
        free = "-NC-" not in entry.licence.upper()
        log.info("%s%s: licence %s%s", PREFIX, entry.name, entry.licence, "" if free else ", not for commercial use")
    _make_folder(entry) if entry.origin == "huggingface" else _make_file(entry)
    with atomic(record_of(entry)) as temporary:
        temporary.write_text(digests(entry), encoding="utf-8")


def _make_folder(entry: Entry) -> None:
    from parsing.networks.model_folders import fetch_folder  # late: it loads PyTorch

    placed = home() / "downloads" / entry.name
    try:
        fetch_folder(entry.url, placed, entry.sha256)
    except InputError as error:
        raise InputError(f"{PREFIX}{entry.name}: {error}; or put the files of {page_of(entry.url)} into {placed}") from None
    placed.replace(entry.weights)


def _make_file(entry: Entry) -> None:
    placed = home() / "downloads" / entry.file
    by_hand = placed.is_file()
    try:
        if by_hand:
            check_hash(placed, entry.sha256)
        else:
            download(entry.url, placed, entry.sha256)
    except InputError as error:
        hint = "" if by_hand else f"; or put {entry.url} as {placed}"
        raise InputError(f"{PREFIX}{entry.name}: {error}{hint}") from None
    if entry.origin == "onnx":
        _unpack(placed, entry.weights)
    else:
        _convert(entry, placed)
    if not by_hand:
        placed.unlink()


def page_of(url: str) -> str:
    """Where a person reads about a model of Hugging Face, from the address of one of its files; any other address as it is."""
    return re.sub(r"/resolve/([^/]+)/[^/]+$", r"/tree/\1", url)


def record_of(entry: Entry) -> Path:
    """The file beside an entry's weights that says their sha256."""
    return Path(f"{entry.weights}.sha256")


def digests(entry: Entry) -> str:
    """What the record of weights that are whole says: a line a file, as `sha256sum` writes it."""
    files = sorted(entry.weights.iterdir()) if entry.weights.is_dir() else [entry.weights]
    return "".join(f"{digest(path)}  {path.relative_to(entry.weights.parent)}\n" for path in files if path.is_file())


def _convert(entry: Entry, source: Path) -> None:
    from parsing.networks.converters import convert_checkpoint  # late: weights come here for their place
    from parsing.networks.weights import DTYPES, save_weights

    network, header = convert_checkpoint(source, entry.origin, entry.target, [entry.labels] if entry.labels else [])
    save_weights(network, entry.weights, header, DTYPES["float32"])


def _unpack(archive: Path, out: Path) -> None:
    """The graph of an archive; nothing else of it is read, and no name in it is used."""
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if PurePosixPath(member.filename).name == GRAPH]
            if len(members) != 1 or members[0].file_size > MAX_GROWTH * archive.stat().st_size:
                raise InputError(f"{archive}: expected an archive with one {GRAPH} in it")
            with content.open(members[0]) as source, atomic(out) as temporary, temporary.open("wb") as target:
                shutil.copyfileobj(source, target)
    except zipfile.BadZipFile as error:
        raise InputError(f"{archive}: not a readable zip archive ({error})") from None
