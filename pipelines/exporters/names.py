"""Names of files for the videos of parses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath, PureWindowsPath

from parsing.document import AnyParse
from parsing.errors import InputError

MOST_BYTES = 255  # of the name of a file; one without a suffix yet may get one such as .json


def file_names(parses: Iterable[AnyParse], suffix: str, *, stem: bool = False) -> Iterator[tuple[AnyParse, str]]:
    """Each parse with the name of a file for it: that of its video and a suffix.

    Args:
        stem: leave out the suffix of the video.

    Raises:
        InputError: two parses would share a file, or a video has no name, one that no file can have, or no size.
    """
    seen: set[str] = set()
    for parse in parses:
        video = PurePosixPath(PureWindowsPath(parse.facts.name).name)
        name = (video.stem if stem else video.name) + suffix
        if not video.name or {video.name, name} & {".", ".."} or "\0" in name:
            raise InputError(f"{parse.facts.name!r:.80}: expected the name of a video in a parse, of which {name!r:.80} is none for a file")
        if len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES - (0 if suffix else len(".json")):
            raise InputError(f"{parse.facts.name!r:.80}: a name too long for a file of its video, which may have {MOST_BYTES} bytes")
        if parse.facts.width < 1 or parse.facts.height < 1:
            raise InputError(f"{parse.facts.name}: {parse.facts.width} x {parse.facts.height} px in its parse, expected at least 1 x 1")
        if name in seen:
            raise InputError(f"{parse.facts.name}: two parses of videos of this name; export them by themselves")
        seen.add(name)
        yield parse, name
