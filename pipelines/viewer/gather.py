"""One pass over the frames of a parse, and everything that a report needs of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parsing.document import VideoParse
from parsing.intervals import TrackSpan
from parsing.types import FrameParse
from pipelines.viewer.columns import BoxColumns, IntervalColumns, SpanColumns
from pipelines.viewer.summary import Summary
from pipelines.viewer.thumbnails import BestSights

MOST_TRACKS = 400  # that a page lists


@dataclass(frozen=True, eq=False)
class Gathered:
    """A parse without its frames, and what was gathered of these."""

    parse: VideoParse
    summary: Summary
    boxes: BoxColumns
    intervals: IntervalColumns
    spans: SpanColumns
    sights: BestSights
    threshold: float

    @property
    def tracks(self) -> list[TrackSpan]:
        """Those that the page lists, by number: all, or the longest."""
        longest = sorted(self.summary.tracks, key=lambda track: -track.num_frames)[:MOST_TRACKS]
        return sorted(longest, key=lambda track: track.track_id)

    @property
    def notes(self) -> list[str]:
        """What the page leaves out, a sentence each."""
        found, num = [], len(self.summary.tracks)
        if num > MOST_TRACKS:
            found.append(f"The {MOST_TRACKS} longest of {num} tracks are listed.")
        if self.boxes.step > 1:
            found.append(f"Boxes are drawn from one of {self.boxes.step} analysed frames, as there are too many for one page.")
        if self.intervals.num_left_out:
            shortest = f"the {self.intervals.num_left_out} shortest state intervals, of up to {self.intervals.shortest_s:.2f} s"
            found.append(f"Too many for one page: {shortest}, are left out of the timeline. Totals count them.")
        return found


def gather(parse: VideoParse, frames: Iterable[FrameParse], threshold: float) -> Gathered:
    """Look at every frame once, in memory that is bounded by what a page holds.

    Args:
        parse: all but the frames.
        threshold: a state holds from this score on.
    """
    words, facts = parse.vocabulary, parse.facts
    found = Gathered(
        parse,
        Summary(parse, threshold),
        BoxColumns(len(words.parts)),
        IntervalColumns(words),
        SpanColumns(facts.fps),
        BestSights(facts.width, facts.height),
        threshold,
    )
    for frame in frames:
        found.intervals.add(found.summary.add(frame))
        for taker in (found.boxes, found.spans, found.sights):
            taker.add(frame)
    found.intervals.add(found.summary.finish())
    return found
