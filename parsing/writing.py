"""Writers of parses, frame by frame, in memory that does not grow with the video: one JSON object, or one JSON line a frame."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from parsing.entries import SCHEMA_VERSION
from parsing.entry_values import frame_json, rounded, window_json
from parsing.files import atomic, is_full
from parsing.intervals import TrackSpan, see
from parsing.types import FrameParse
from parsing.vocabulary import Vocabulary

if TYPE_CHECKING:
    from parsing.document import AnyParse

BLOCK = 8192  # of a disk: what a shorter file gives free
MOST_LOOK_BACK = 16 * 2**20  # bytes; a frame is shorter


class DocumentWriter(Protocol):
    """What becomes of the frames of a parse; `finish` is the last call before the block ends."""

    @property
    def num_tracks(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *failure: object) -> None: ...

    def add(self, parse: FrameParse) -> None: ...

    def finish(self, parse: AnyParse) -> None: ...


class ParseWriter:
    """Writes a parse as one object.

    The file appears whole when the block ends after `finish`, and not at all otherwise. What is known last, the
    actions, the tracks and the facts of the decoded video, stands at the end of the object.

    Args:
        kept: of a source that cannot be read again; gives what is known by now. Where the block ends in a failure, the
            file has the frames until then; on a full disk, those that fit.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary, kept: Callable[[], AnyParse] | None = None) -> None:
        self.path, self.vocabulary, self.kept = path, vocabulary, kept
        self.tracks: dict[int, TrackSpan] = {}
        self._num_frames, self._is_whole = 0, False

    @property
    def num_tracks(self) -> int:
        return len(self.tracks)

    def __enter__(self) -> ParseWriter:
        with ExitStack() as stack:  # which cleans up where not even the beginning fits
            temporary = stack.enter_context(atomic(self.path))
            self._file = stack.enter_context(WholePieces(temporary))
            self._file.write(_dumps(head_json(self.vocabulary))[:-1] + ',\n"frames": [')
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        if self.kept is None or failure[0] is None or not self._num_frames:
            self._stack.__exit__(*failure)  # type: ignore[arg-type]
            return
        if isinstance(failure[1], OSError) and is_full(failure[1]):
            failure[1].filename = str(self.path)  # not by the temporary name, which nobody knows
        with self._stack:
            if not self._is_whole:
                self._finish_early(self.kept())

    def add(self, parse: FrameParse) -> None:
        """Append the next frame."""
        self._file.write((",\n" if self._num_frames else "\n") + _dumps(frame_json(parse, self.vocabulary)))
        self._num_frames += 1
        see(self.tracks, parse)

    def finish(self, parse: AnyParse) -> None:
        """Close the object with all but the frames of a parse."""
        self._file.write(self._tail(parse))
        self._is_whole = True

    def _tail(self, parse: AnyParse) -> str:
        return "\n],\n" + _dumps(summary_json(parse, self.tracks))[1:] + "\n"

    def _finish_early(self, parse: AnyParse) -> None:
        """Close the object; where the disk is full, give up the last frames for the room that its end needs."""
        try:
            self.finish(parse)
        except OSError as error:
            if not is_full(error):
                raise
            self._file.cut_before(b",\n", len(self._tail(parse).encode()) + BLOCK)
            self.finish(parse)


class LinesWriter:
    """Writes a parse as JSON lines: a header, a line a frame, each at once as its frame is done, and a summary.

    What was written stays, whatever happens then.

    Args:
        path: None for the standard output.
        header: what is known before the first frame.
    """

    def __init__(self, path: Path | None, header: AnyParse) -> None:
        self.path, self.header, self.vocabulary = path, header, header.vocabulary
        self.tracks: dict[int, TrackSpan] = {}

    @property
    def num_tracks(self) -> int:
        return len(self.tracks)

    def __enter__(self) -> LinesWriter:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        models = [asdict(model) for model in self.header.models]
        head = _dumps(head_json(self.vocabulary) | {"models": models, "video": rounded(self.header.facts)}) + "\n"
        with ExitStack() as stack:
            self._file = stack.enter_context(WholePieces(self.path))
            self._file.write(head)
            stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()

    def add(self, parse: FrameParse) -> None:
        """Write the line of the next frame."""
        self._file.write(_dumps(frame_json(parse, self.vocabulary)) + "\n")
        see(self.tracks, parse)

    def finish(self, parse: AnyParse) -> None:
        """Write the summary."""
        self._file.write(_dumps(summary_json(parse, self.tracks)) + "\n")


class WholePieces:
    """A file that is written piece by piece; of a piece that does not fit nothing stays.

    Args:
        path: of a file, which is emptied; None for the standard output.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file = FileIO(sys.stdout.fileno(), "w", closefd=False) if path is None else FileIO(path, "w+")
        self._size = 0

    def __enter__(self) -> WholePieces:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def write(self, text: str) -> None:
        """Raises OSError, with the file's name, where the piece does not fit."""
        data = memoryview(text.encode())
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            with suppress(OSError):  # a terminal or a pipe has no size
                self._cut(self._size)
            raise OSError(error.errno, os.strerror(error.errno or errno.EIO), str(self.path or "stdout")) from None
        self._size += len(text.encode())

    def cut_before(self, mark: bytes, num_bytes: int) -> None:
        """Shorten the file by at least so many bytes, to where `mark` begins; not at all where that is farther away."""
        begin = max(0, self._size - num_bytes - MOST_LOOK_BACK)
        place = os.pread(self._file.fileno(), self._size - begin, begin).rfind(mark, 0, max(0, self._size - num_bytes - begin))
        if place >= 0:
            self._size = begin + place
            self._cut(self._size)

    def _cut(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)


def write_parse(parse: AnyParse, path: Path) -> None:
    """Write a parse that is in memory."""
    with ParseWriter(path, parse.vocabulary) as writer:
        for frame in parse.frames:
            writer.add(frame)
        writer.finish(parse)


def head_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """What stands before the frames."""
    return {"schema_version": SCHEMA_VERSION, "vocabulary": vocabulary.to_json()}


def summary_json(parse: AnyParse, tracks: Mapping[int, TrackSpan]) -> dict[str, Any]:
    """All but the frames, in the form of `ParseDocument`: what is known last."""
    entries = [
        rounded(track) | {"actions": [rounded(action) for action in parse.track_actions.get(track_id, ())]}
        for track_id, track in sorted(tracks.items())
    ]
    return {
        "tracks": entries,
        "branch": None if parse.branch is None else asdict(parse.branch),
        "actions": [rounded(action) for action in parse.actions],
        "action_windows": [window_json(window, parse.vocabulary.actions_of(window.branch)) for window in parse.action_windows],
        "models": [asdict(model) for model in parse.models],
        "video": rounded(parse.facts),
        "complete": parse.complete,
    }


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
