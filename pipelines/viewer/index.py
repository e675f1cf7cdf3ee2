"""The page that leads to the reports of many parses."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from parsing.console import printable
from parsing.types import main_action
from pipelines.drawing.text import clock
from pipelines.viewer.media import data_address
from pipelines.viewer.page import asset, fill
from pipelines.viewer.summary import Summary


@dataclass(frozen=True)
class Card:
    """One report on the index: its address, the video's name, what was found, and a JPEG of one frame."""

    address: str
    name: str
    facts: str
    action: str
    warnings: int
    poster: bytes | None

    @classmethod
    def of(cls, summary: Summary, address: str, poster: bytes | None) -> Card:
        parse, num = summary.parse, len(summary.tracks)
        best = main_action(parse.actions)
        facts = f"{clock(summary.duration_s)}, {summary.num_frames} frames, {num} {'track' if num == 1 else 'tracks'}"
        action = f"{best.label.replace('_', ' ')} {best.score:.2f}" if best else "no action"
        return cls(address, parse.facts.name, facts, action, len(summary.warnings), poster)


def index_page(title: str, cards: Sequence[Card]) -> str:
    """The page; names are text in it, whatever they hold."""
    facts = f"{len(cards)} {'video' if len(cards) == 1 else 'videos'}"
    text = {"title": _text(title), "facts": facts, "cards": "\n".join(map(_card, cards))}
    return fill(asset("index.html"), text)


def _card(card: Card) -> str:
    picture = f'<img src="{data_address(card.poster, "image/jpeg")}" alt="">' if card.poster else '<span class="blank"></span>'
    count = f"{card.warnings} {'warning' if card.warnings == 1 else 'warnings'}"
    warning = f'<p class="alarm">{count}</p>' if card.warnings else ""
    name = f'<a href="{html.escape(card.address)}"><bdi>{_text(card.name)}</bdi></a>'
    return f"<li>{picture}<div>{name}<p>{_text(card.facts)}</p><p>{_text(card.action)}</p>{warning}</div></li>"


def _text(text: str) -> str:
    return html.escape(printable(text))
