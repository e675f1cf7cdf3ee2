"""What a file's packets tell without being decoded: how many frames there are, their times, and what the container lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

from parsing.media.containers import Opened, VideoFile, opened

INDEXED_FORMATS = ("mov", "avi")  # whose index says of every frame whether it is shown


@dataclass(frozen=True)
class Survey:
    """A file's packets, counted.

    Args:
        num_frames: coded frames that are shown.
        num_indexed: frames that the container's index lists; None where it has none.
        num_declared: frames that the header counts; None where it does not.
        formats: FFmpeg's names of the container's format.
        time_base_s: unit of the video's timestamps.
        rate: frames a second as the header says, 0 where it does not.
        declared_s: duration of the video as the header says; None where it does not.
        start_s, end_s: of the video in the container's own time; None where its packets have no times.
        last_s: where the last stream ends, sound included.
        damages: errors of the container and packets that are cut.
    """

    num_frames: int
    num_indexed: int | None
    num_declared: int | None
    formats: tuple[str, ...]
    time_base_s: float
    rate: float
    declared_s: float | None
    start_s: float | None
    end_s: float | None
    last_s: float
    damages: int

    @property
    def frames_declared(self) -> int | None:
        return self.num_declared if self.num_indexed is None else self.num_indexed

    @property
    def fps(self) -> float:
        """Frames a second: what the header says, or what was measured where both differ by more than half."""
        if self.start_s is None or self.end_s is None or self.end_s <= self.start_s or self.num_frames < 2:
            return self.rate
        measured = self.num_frames / (self.end_s - self.start_s)
        return self.rate if measured / 1.5 <= self.rate <= measured * 1.5 else measured

    @property
    def duration_s(self) -> float:
        """Of the video alone: what the header says, or what was measured."""
        if self.declared_s is not None:
            return max(0.0, self.declared_s)
        if self.start_s is not None and self.end_s is not None and self.end_s > self.start_s:
            return self.end_s - self.start_s
        return self.num_frames / self.fps if self.fps > 0 else 0.0


def survey(file: VideoFile) -> Survey:
    """Read all packets of a file; nothing is decoded."""
    damages: list[Exception] = []
    num_frames = num_cut = 0
    start_s: float | None = None
    ends: dict[int, float] = {}
    with opened(file) as source:
        stream, unit = source.stream, source.stream.time_base or Fraction(0)
        video, rate = stream.index, stream.average_rate or stream.guessed_rate
        num_indexed = _indexed(source)
        header = (stream.frames or None, tuple(source.formats), float(unit), float(rate or 0))
        declared_s = float(stream.duration * unit) if stream.duration and unit else None
        for packet in packets(source, damages.append, every_stream=True):
            if not packet.size:
                continue
            num_cut += packet.is_corrupt
            if packet.is_discard:
                continue
            shown = packet.stream_index == video
            num_frames += shown
            if packet.pts is not None:
                begin = float(packet.pts * packet.time_base)
                end = begin + float((packet.duration or 0) * packet.time_base)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
                if shown:
                    start_s = begin if start_s is None else min(begin, start_s)
    if num_indexed is not None and num_indexed < num_frames:  # an AVI whose index is cut off
        num_indexed = None
    return Survey(
        num_frames, num_indexed, *header, declared_s, start_s, ends.get(video), max(ends.values(), default=0.0), len(damages) + num_cut
    )


def packets(source: Opened, on_damage: Callable[[Exception], None], every_stream: bool = False) -> Iterator[av.Packet[Any]]:
    """Packets of the video, or of every stream, then an empty one of each; damage is passed over as long as the file goes on."""
    demuxer = source.container.demux() if every_stream else source.container.demux(source.stream)
    while True:
        place = source.cursor.tell()
        try:
            yield from demuxer
            return
        except (av.error.FFmpegError, OSError, IndexError) as error:
            on_damage(error)
            if source.cursor.tell() <= place:
                return
        demuxer = source.container.demux() if every_stream else source.container.demux(source.stream)


def _indexed(source: Opened) -> int | None:
    """Frames that the index shows: without those that an edit list hides, and without the empty chunks of an AVI."""
    stream = source.stream
    # Of a fragmented MP4 the index grows with the fragments that were read.
    if source.formats[0] not in INDEXED_FORMATS or not stream.frames or not len(stream.index_entries):
        return None
    return sum(not entry.is_discard for entry in stream.index_entries)
