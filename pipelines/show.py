"""A parse in a few lines on the terminal: `python -m pipelines.show parse.json`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from parsing.console import printable, say
from parsing.intervals import HOLDS_FROM
from parsing.progress import Counter
from parsing.streamed import ParseFile
from parsing.types import ActionScore
from pipelines.command import CommandParser, add_message_options, complain_of, run_command
from pipelines.drawing.text import clock
from pipelines.report import parses_in, share
from pipelines.viewer.summary import Summary

MOST_TRACKS, MOST_STATES = 20, 3
PLAIN_WIDTH = 160  # away from a terminal, lines need not fit a screen


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("show", description="Say what a parse holds: persons, tracks, states, actions.")
    parser.add_argument("sources", nargs="+", type=Path, metavar="PARSE", help="a parse.json, or a folder of them, which is searched")
    parser.add_argument("--tracks", type=int, default=MOST_TRACKS, metavar="N", help=f"the N longest tracks (default: {MOST_TRACKS})")
    parser.add_argument(
        "--threshold", type=share, default=HOLDS_FROM, metavar="SCORE", help=f"a state holds from this score on (default: {HOLDS_FROM})"
    )
    add_message_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    parses, failed = parses_in(arguments.sources), 0
    for path in parses:
        try:
            summary = read_summary(path, arguments.threshold, arguments.quiet)
        except Exception as error:
            if len(parses) == 1:
                raise
            complain_of(path, error, arguments.debug)
            failed += 1
            continue
        print_summary(summary, max(0, arguments.tracks))
    return 1 if failed else 0


def read_summary(path: Path, threshold: float, quiet: bool) -> Summary:
    """Look at every frame of a parse, in bounded memory.

    Raises:
        InputError: it is no parse.
    """
    file = ParseFile(path)
    summary = Summary(file.parse, threshold)
    with Counter(path.name, file.facts.frames_decoded, quiet) as progress:
        for frame in file.frames:
            summary.add(frame)
            progress.advance()
    summary.finish()
    return summary


def print_summary(summary: Summary, most_tracks: int) -> None:
    """Tables for people: with colours on a terminal, plain lines elsewhere."""
    live = sys.stdout.isatty()
    console = Console(width=None if live else PLAIN_WIDTH, color_system="auto" if live else None, highlight=False)
    parts: list[RenderableType] = [facts_table(summary), tracks_table(summary, most_tracks), states_table(summary)]
    for part in parts:
        if live:
            console.print(part)
        else:
            with console.capture() as captured:
                console.print(part)
            say(*(line.rstrip() for line in captured.get().splitlines()))
    say("")


def facts_table(summary: Summary) -> Table:
    facts, num = summary.parse.facts, len(summary.tracks)
    rate = f", {facts.fps:g} frames/s" if facts.fps else ""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = [
        ("video", facts.name),
        ("size", f"{facts.width} x {facts.height} px{rate}, {clock(summary.duration_s)}"),
        ("frames", f"{summary.num_frames}, of which {summary.num_key_frames} were analysed"),
        ("persons", f"{num} {'track' if num == 1 else 'tracks'}, at most {summary.most_persons} at once"),
        *(("action" if i == 0 else "", action_text(one)) for i, one in enumerate(summary.parse.actions)),
        *(("note" if i == 0 else "", text) for i, text in enumerate(summary.warnings)),
    ]
    for name, text in rows:
        table.add_row(name, Text(printable(text), style="yellow" if text in summary.warnings else ""))
    return table


def tracks_table(summary: Summary, most: int) -> RenderableType:
    """The longest tracks, with what their parts do for most of the time."""
    tracks = sorted(summary.tracks, key=lambda track: -track.num_frames)[:most]
    if not tracks:
        return Text("")
    left_out = len(summary.tracks) - len(tracks)
    table = Table(
        box=None, pad_edge=False, header_style="bold", title_justify="left", title=f"the {most} longest tracks" if left_out else None
    )
    for name in ("track", "from", "to", "frames", "score", "action", "mostly"):
        table.add_column(name, justify="left" if name in ("track", "action", "mostly") else "right", overflow="fold")
    for track in sorted(tracks, key=lambda track: track.track_id):
        actions = sorted(summary.parse.track_actions.get(track.track_id, ()), key=lambda one: -one.score)[:1]
        figures = (clock(track.start_s), clock(track.end_s), str(track.num_frames), f"{summary.mean_score(track.track_id):.2f}")
        words = (
            action_text(actions[0]) if actions else "-",
            mostly(summary, track.track_id, track.end_s - track.start_s + summary.frame_s),
        )
        table.add_row(f"#{track.track_id}", *figures, *(Text(printable(word)) for word in words))
    return table


def states_table(summary: Summary) -> RenderableType:
    """For each part, the states that hold longest over all tracks."""
    seconds: dict[tuple[str, str], float] = {}
    for (_, part, state), total in summary.totals.items():
        seconds[part, state] = seconds.get((part, state), 0.0) + total.seconds
    if not seconds:
        return Text("")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("part")
    table.add_column("seconds in which states hold, all tracks together", overflow="fold")
    for part in summary.parse.vocabulary.parts:
        own = sorted(((state, held) for (name, state), held in seconds.items() if name == part), key=lambda one: -one[1])
        if own:
            table.add_row(Text(printable(part)), Text(printable("  ".join(f"{state} {held:.1f}" for state, held in own))))
    return table


def mostly(summary: Summary, track_id: int, duration_s: float) -> str:
    """The states that a track is in for the largest share of its time."""
    own = [(part, state, total.seconds) for (track, part, state), total in summary.totals.items() if track == track_id]
    best: Sequence[tuple[str, str, float]] = sorted(own, key=lambda one: -one[2])[:MOST_STATES]
    return ", ".join(f"{part} {state} {min(1.0, held / max(duration_s, 1e-9)):.0%}" for part, state, held in best) or "-"


def action_text(action: ActionScore) -> str:
    return f"{action.label} {action.score:.2f}, {clock(action.start_s)} to {clock(action.end_s)}"


if __name__ == "__main__":
    run_command(build_parser(), main)
