"""The documents of this project and the code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "MODEL_CARD.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, empty for commands, and the name of the file that it is, if it is one."""

    language: str
    title: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Lines of commands, those that go on joined."""
        return self.text.replace("\\\n", " ").splitlines()


def code_blocks(page: Path) -> list[Block]:
    return [Block(one["language"], one["title"] or "", one["text"]) for one in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def quoted(page: Path) -> Iterator[str]:
    """What stands as code in the text of a page."""
    yield from re.findall(r"`([^`\n]+)`", _FENCE.sub("", page.read_text(encoding="utf-8")))
