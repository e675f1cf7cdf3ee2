"""Links of the documents lead to files and headings that are there, and the site has every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT

ALL = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
OF_THE_TOP = {"manual.md": "README.md"} | {f"{path.stem.lower()}.md": path.name for path in ALL if path.parent == ROOT}


def text_of(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What its headings are called in links, as code hosts and the site make it."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]+`", "", text_of(page))):
        path, _, anchor = target.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or file.suffix != ".md" or anchor in anchors(file), target


def test_the_site_has_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    shown = {name if (ROOT / "docs" / name).is_file() else OF_THE_TOP[name] for name in re.findall(r"(\w+\.md)$", nav, re.MULTILINE)}
    assert shown == {page.name for page in ALL}


def test_pictures_are_small() -> None:
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".jpg", ".png")]
    assert max(path.stat().st_size for path in pictures) < 160_000
    assert sum(path.stat().st_size for path in pictures) < 1_000_000
