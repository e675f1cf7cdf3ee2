"""Actions of a parse as subtitles: what is shown from when to when."""

from __future__ import annotations

from dataclasses import dataclass

from parsing.document import AnyParse

_LEAST_S = 0.001  # subtitles end after they begin


@dataclass(frozen=True)
class Cue:
    """One subtitle."""

    start_s: float
    end_s: float
    speaker: str
    text: str


def cues_of(parse: AnyParse) -> list[Cue]:
    """The actions of the video and of its tracks, in order of time."""
    found = [("video", action) for action in parse.actions]
    found += [(f"person {track}", action) for track, actions in sorted(parse.track_actions.items()) for action in actions]
    cues = [
        Cue(max(0.0, one.start_s), max(0.0, one.start_s + _LEAST_S, one.end_s), speaker, f"{one.label} {one.score:.2f}")
        for speaker, one in found
    ]
    return sorted(cues, key=lambda cue: (cue.start_s, cue.end_s))


def clock(seconds: float, point: str) -> str:
    """`HH:MM:SS.mmm`, with a point or a comma before the milliseconds."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"
