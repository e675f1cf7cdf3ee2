"""parse.json read frame by frame, in memory that does not grow with the video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from parsing.configs import parse_config
from parsing.document import VideoParse, parse_of, read_parse
from parsing.entries import FrameEntry, ParseDocument
from parsing.entry_values import check_persons, frame_of
from parsing.errors import InputError
from parsing.json_files import parse_json
from parsing.memory import memory_budget
from parsing.types import ActionScore, ActionWindow, BranchFacts, Completeness, FrameParse, ModelFacts, VideoFacts
from parsing.vocabulary import Vocabulary

_FRAMES, _END = b'"frames": [\n', b"\n],\n"  # as `ParseWriter` writes them, between the vocabulary and what is known last
_EMPTY = b'"frames": [\n\n],\n'
_LINE = 64 * 2**20  # bytes that a frame may take; the largest of 1,000 persons take a tenth
_STEP = 2**20
_ENTRY = TypeAdapter(FrameEntry)


class ParseFile:
    """A parse.json: all but the frames at once (`parse`), `frames` one by one and from the start each time; an `AnyParse`.

    A file that is laid out as `ParseWriter` does it, a frame a line, is read in bounded memory, however long the video is.
    One of another layout is read whole, as `read_parse` does.

    Raises:
        InputError: it is no parse; see `read_parse`. What is wrong with a frame is told when its turn comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin = self._end = 0
        self._whole: tuple[FrameParse, ...] | None = None
        around = self._around_frames()
        if around is None:
            self.parse: VideoParse = read_parse(path)
            self._whole = self.parse.frames
        else:
            document = parse_config(ParseDocument, around | {"frames": []}, f"{path}: not a parse")
            self.parse = parse_of(document, path)

    @property
    def facts(self) -> VideoFacts:
        return self.parse.facts

    @property
    def vocabulary(self) -> Vocabulary:
        return self.parse.vocabulary

    @property
    def actions(self) -> Sequence[ActionScore]:
        return self.parse.actions

    @property
    def models(self) -> Sequence[ModelFacts]:
        return self.parse.models

    @property
    def complete(self) -> Completeness:
        return self.parse.complete

    @property
    def track_actions(self) -> Mapping[int, Sequence[ActionScore]]:
        return self.parse.track_actions

    @property
    def branch(self) -> BranchFacts | None:
        return self.parse.branch

    @property
    def action_windows(self) -> Sequence[ActionWindow]:
        return self.parse.action_windows

    @property
    def frames(self) -> Iterator[FrameParse]:
        """Every frame in order, read anew each time that they are asked for."""
        return self._frames()

    def _frames(self) -> Iterator[FrameParse]:
        if self._whole is not None:
            yield from self._whole
            return
        last = -1
        for line in self._lines():
            frame = self._frame(line)
            if frame.index <= last:
                raise InputError(f"{self.path}: not a parse: frames: index {frame.index} after {last}, expected rising ones")
            last = frame.index
            yield frame

    def _frame(self, line: bytes) -> FrameParse:
        try:
            entry = _ENTRY.validate_json(line)
            check_persons(entry)
            return frame_of(entry, self.parse.vocabulary)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("frames", *first["loc"])))
            raise InputError(f"{self.path}: not a parse: {place}: {first['msg']} (in {line[:40].decode(errors='replace')!r} …)") from None
        except ValueError as error:
            raise InputError(f"{self.path}: not a parse: {error}") from None

    def _lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self._begin)
            while file.tell() < self._end:
                line = file.readline(_LINE)
                if len(line) == _LINE:
                    raise InputError(f"{self.path}: not a parse: a frame of more than {_LINE // 2**20} MiB")
                if text := line.strip().removesuffix(b","):
                    yield text

    def _around_frames(self) -> dict[str, Any] | None:
        """The object without its frames, and where these stand; None where the file is laid out in another way."""
        try:
            with self.path.open("rb") as file:
                head = file.readline(_LINE)
                if not head.startswith(b'{"schema_version"') or not head.endswith(b",\n") or file.readline(_LINE) != _FRAMES:
                    return None
                self._begin = file.tell()
                tail = self._tail(file)
        except (OSError, ValueError):
            return None  # `read_parse` says what is wrong
        if tail is None:
            return None
        text = head.rstrip()[:-1] + b"," + tail
        found = parse_json(text, str(self.path))
        return found if isinstance(found, dict) else None

    def _tail(self, file: BinaryIO) -> bytes | None:
        """What stands behind the frames, on one line; a line break within it would be no JSON."""
        end, tail = file.seek(0, 2), b""
        start = end
        while start > self._begin and len(tail) < memory_budget():
            start = max(self._begin - len(b"\n"), start - _STEP)
            file.seek(start)
            tail = file.read(end - start)
            if (place := tail.rfind(_END)) >= 0:
                self._end = start + place + 1
                return tail[place + len(_END) :]
        return None
