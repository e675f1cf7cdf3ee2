"""The report of one parse as a page: one file, no network, nothing from outside that could execute."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from parsing.console import printable
from parsing.intervals import TrackSpan
from parsing.types import ActionScore
from pipelines.drawing.colours import hexadecimal, part_colours, state_colours, track_colour
from pipelines.viewer.columns import pack
from pipelines.viewer.gather import Gathered
from pipelines.viewer.media import data_address

SCRIPTS = ("data.js", "player.js", "stage.js", "layout.js", "timeline.js", "panels.js", "keys.js", "main.js")
# Nothing is loaded but the video; scripts and styles are those of this page alone, by their hashes.
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; media-src {media}; base-uri 'none'; form-action 'none'"
)
_MEDIA = "'self' file: data: blob:"


@dataclass(frozen=True)
class Shown:
    """What stands behind the boxes: a `video`, an `image` or `none`, its address, and a remark for the reader."""

    kind: str = "none"
    address: str = ""
    note: str = ""


def page(found: Gathered, shown: Shown, pictures: Mapping[int, bytes]) -> str:
    """The page.

    Args:
        pictures: JPEG data by track.
    """
    name = printable(found.parse.facts.name)
    script = "\n".join(asset(file) for file in SCRIPTS)
    text = {"title": html.escape(name), "data": script_json(_content(found, shown, pictures)), "script": script}
    return fill(asset("page.html"), text, script)


def fill(template: str, text: Mapping[str, str], script: str = "") -> str:
    """A template with its style, its policy and what `{{name}}` stands for; what is filled in is not looked at again."""
    style = asset("page.css")
    policy = _POLICY.format(script=_hash(script) if script else "'none'", style=_hash(style), media=_MEDIA if script else "'none'")
    values = dict(text) | {"style": style, "policy": policy}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def asset(name: str) -> str:
    """A file of the page's own."""
    return (resources.files("pipelines.viewer") / "assets" / name).read_text(encoding="utf-8")


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub(r"[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


def plain(value: Any) -> Any:
    """Every string of plain data as text of one line, without control and direction characters; see `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _content(found: Gathered, shown: Shown, pictures: Mapping[int, bytes]) -> dict[str, Any]:
    parse, words = found.parse, found.parse.vocabulary
    columns = found.boxes.columns() | found.intervals.columns() | found.spans.columns()
    told = {
        "video": asdict(parse.facts) | {"duration_s": found.summary.duration_s},
        "parts": _coloured(words.parts, part_colours(words)),
        "states": _coloured(words.states, state_colours(len(words.states))),
        "actions": _actions(parse.actions),
        "tracks": [_track(found, one) for one in found.tracks],
        "totals": [[*key, round(total.seconds, 3), total.count] for key, total in found.summary.totals.items()],
        "counts": {"frames": found.summary.num_frames, "key": found.summary.num_key_frames, "most": found.summary.most_persons},
        "warnings": found.summary.warnings,
        "notes": found.notes + ([shown.note] if shown.note else []),
        "models": [[m.stage, m.name, m.weights_sha256 or "", m.used] for m in parse.models],
        "vocabulary": words.name,
        "threshold": found.threshold,
    }
    data = {track_id: data_address(jpeg, "image/jpeg") for track_id, jpeg in pictures.items()}
    text: dict[str, Any] = plain(told)
    return text | {"media": {"kind": shown.kind, "address": shown.address}, "pictures": data, "columns": pack(columns)}


def _coloured(names: Sequence[str], colours: Iterable[tuple[int, int, int]]) -> list[list[str]]:
    return [[name, hexadecimal(colour)] for name, colour in zip(names, colours, strict=True)]


def _track(found: Gathered, track: TrackSpan) -> dict[str, Any]:
    actions = _actions(found.parse.track_actions.get(track.track_id, ()))
    score = round(found.summary.mean_score(track.track_id), 4)
    return asdict(track) | {"mean_score": score, "colour": hexadecimal(track_colour(track.track_id)), "actions": actions}


def _actions(actions: Iterable[ActionScore]) -> list[list[Any]]:
    return [[one.label, round(one.score, 4), one.start_s, one.end_s] for one in actions]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
