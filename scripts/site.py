"""What `mkdocs.yml` asks for beside the pages of docs/: the documents of the top folder as pages, with links that fit.

Links of the documents fit the checkout, as code hosts show it. On the site, those to documents lead to their pages, and those to
other files of the checkout become plain text.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCUMENTS = {  # of the top folder, and their pages; one that is called README would be the home
    "README.md": "manual.md",
    "MODEL_CARD.md": "model_card.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
PIECE = re.compile(
    r"^```.*?^```|(?P<text>!?\[(?:[^\[\]]|\[[^\[\]]*\]\([^()]*\))*\])\((?P<target>[^()\s]+)\)|`[^`\n]+`",
    re.MULTILINE | re.DOTALL,
)  # code, or a link


def on_files(files: Files, config: Any) -> Files:
    """Add the documents of the top folder."""
    for name, page in DOCUMENTS.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make the links of a page fit the site."""
    folder = "" if page.file.src_uri in DOCUMENTS.values() else "docs"
    return PIECE.sub(lambda piece: fitted(piece, folder) if piece["target"] else piece.group(), markdown)


def fitted(link: re.Match[str], folder: str) -> str:
    """A link of a document of this folder of the checkout."""
    path, _, anchor = link["target"].partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return link.group()
    place = normpath(f"{folder}/{path}" if folder else path)
    if not (ROOT / place).exists():
        return link.group()  # which MkDocs complains of
    if place in DOCUMENTS or place.startswith("docs/"):
        page = DOCUMENTS.get(place, place.removeprefix("docs/"))
        return f"{link['text']}({page}{'#' if anchor else ''}{anchor})"
    return link["text"][1:-1]
