"""Pictures of a parse for papers: when states hold, and where persons go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from parsing.types import Array
from pipelines.drawing.colours import hexadecimal, state_colours, track_colour
from pipelines.viewer.gather import Gathered

DPI = 200  # of print
MOST_TRACKS = 12  # on a timeline that fits a page
ROW_IN, TRACK_IN = 0.16, 0.22  # heights of rows
Row = tuple[str, list[tuple[float, float, str]]]  # its name, and (start, duration, colour) of bars
_MOST_JUMP_S = 1.0  # a line is broken where a track is lost for longer


def timeline_figure(found: Gathered) -> Figure:
    """The states of each part of each track over time, actions above; of many tracks, those that are seen longest."""
    columns, words = found.intervals.columns() | found.spans.columns(), found.parse.vocabulary
    tracks = sorted(found.summary.tracks, key=lambda track: -track.num_frames)
    shown = sorted(track.track_id for track in tracks[:MOST_TRACKS])
    rows = [row for track_id in shown for row in _rows(columns, words.parts, len(words.states), track_id)]
    actions = [(one.start_s, one.end_s - one.start_s, one.label) for one in found.parse.actions]
    height = 1.3 + ROW_IN * max(4, len(rows)) + TRACK_IN * bool(actions)
    figure = Figure(figsize=(8.0, height), layout="constrained", dpi=DPI)
    axes = figure.add_subplot(xlabel="time (s)", xlim=(0, max(found.summary.duration_s, 1e-3)))
    if len(tracks) > MOST_TRACKS:
        axes.set_title(f"the {MOST_TRACKS} longest of {len(tracks)} tracks", fontsize=8)
    _draw_rows(axes, rows)
    if actions:
        axes.set_ylim(top=-2.1)
    for start_s, duration_s, label in actions:
        axes.broken_barh([(start_s, duration_s)], (-1.9, 1.0), color="#c9d3e0", edgecolor="white", linewidth=0.5)
        axes.text(start_s + duration_s / 2, -1.4, _readable(label), ha="center", va="center", fontsize=7, clip_on=True)
    _legend(figure, axes, words.states, columns)
    return figure


def map_figure(found: Gathered, background: Array | None = None) -> Figure:
    """Where the lowest middle of each person's box goes in the picture, a line for each track.

    Args:
        background: (H, W, 3) uint8 RGB picture of the video, of any size; it is drawn faintly.
    """
    facts, columns = found.parse.facts, found.boxes.columns()
    wide = 6.0
    figure = Figure(figsize=(wide, max(2.0, min(9.0, wide * facts.height / max(1, facts.width))) + 0.3), layout="constrained", dpi=DPI)
    axes = figure.add_subplot(
        xlim=(0, max(1, facts.width)), ylim=(max(1, facts.height), 0), aspect="equal", xlabel="x (px)", ylabel="y (px)"
    )
    if background is not None:
        axes.imshow(background, extent=(0, facts.width, facts.height, 0), alpha=0.45)
    axes.set_facecolor("#20242c" if background is None else "white")
    boxes = columns["box"].reshape(-1, 4).astype(float)
    times = np.repeat(columns["times"], np.diff(columns["first"]))
    for track_id in (track.track_id for track in found.summary.tracks):
        rows = columns["track"] == track_id
        _draw_track(axes, track_id, times[rows], boxes[rows])
    return figure


def _rows(columns: dict[str, Array], parts: Sequence[str], num_states: int, track_id: int) -> Iterator[Row]:
    """A row for the track itself, and one for each part; states that hold side by side share the height."""
    own, colour = columns["s_track"] == track_id, hexadecimal(track_colour(track_id))
    yield f"#{track_id}", [(float(a), float(b - a), colour) for a, b in zip(columns["s_start"][own], columns["s_end"][own], strict=True)]
    colours = [hexadecimal(one) for one in state_colours(num_states)]
    for p, part in enumerate(parts):
        rows = np.flatnonzero((columns["i_track"] == track_id) & (columns["i_part"] == p))
        if len(rows):
            spans = zip(columns["i_start"][rows], columns["i_end"][rows], columns["i_state"][rows], strict=True)
            yield _readable(part), [(float(a), float(b - a), colours[s]) for a, b, s in spans]


def _draw_rows(axes: Axes, rows: Sequence[Row]) -> None:
    for y, (_, bars) in enumerate(rows):
        colours = list(dict.fromkeys(colour for *_, colour in bars))
        high = 0.86 / max(1, len(colours))
        for place, colour in enumerate(colours):
            spans = [(start_s, duration_s) for start_s, duration_s, one in bars if one == colour]
            axes.broken_barh(spans, (y - 0.43 + place * high, high), color=colour, linewidth=0)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=6.5)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text().startswith("#") else "normal")
    axes.set_ylim(max(1, len(rows)) - 0.4, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _legend(figure: Figure, axes: Axes, states: Sequence[str], columns: dict[str, Array]) -> None:
    colours = state_colours(len(states))
    used = np.unique(columns["i_state"]).tolist()
    if used:
        handles = [Patch(color=hexadecimal(colours[s]), label=_readable(states[s])) for s in used]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), fontsize=7, frameon=False)
    else:
        axes.text(0.5, 0.5, "no state holds", ha="center", transform=axes.transAxes, fontsize=8)


def _draw_track(axes: Axes, track_id: int, times: Array, boxes: Array) -> None:
    if not len(times):
        return
    feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], 1)
    gaps = np.flatnonzero(np.diff(times) > _MOST_JUMP_S) + 1
    line, colour = np.insert(feet, gaps, np.nan, 0), hexadecimal(track_colour(track_id))
    axes.plot(line[:, 0], line[:, 1], color="black", linewidth=2.6)
    axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=1.6)
    axes.plot(*feet[0], "o", color=colour, markeredgecolor="black", markersize=5)
    axes.annotate(
        f"#{track_id}", feet[-1], (4, 0), textcoords="offset points", fontsize=7, va="center", annotation_clip=True,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": colour, "edgecolor": "black", "linewidth": 0.5},
    )  # fmt: skip


def _readable(name: str) -> str:
    """A name as matplotlib shows it, where `$` would begin a formula."""
    return name.replace("_", " ").replace("$", r"\$")
