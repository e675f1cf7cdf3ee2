"""A report as files, the same for every stage and benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from parsing.json_files import write_json
from parsing.measures.pictures import save_png


def is_file_name(out: Path) -> bool:
    """Whether a report goes to a file of this name, and not to a folder."""
    return out.suffix == ".json" or out.is_file()


def report_files(out: Path, pictures: Iterable[str] = ()) -> list[Path]:
    """Where a report and its pictures go.

    Args:
        out: a folder, which gets `report.json` and `NAME.png`; or a name that ends in `.json`, or a file that exists,
            beside which the pictures stand as `STEM_NAME.png`.
    """
    if is_file_name(out):
        return [out, *(out.with_name(f"{out.stem}_{name}.png") for name in pictures)]
    return [out / "report.json", *(out / f"{name}.png" for name in pictures)]


def write_report(found: Mapping[str, Any], out: Path, pictures: Mapping[str, Figure] | None = None) -> None:
    """Write figures as JSON, and pictures as PNG, to the places of `report_files`."""
    pictures = pictures or {}
    path, *places = report_files(out, pictures)
    write_json(path, found)
    for place, picture in zip(places, pictures.values(), strict=True):
        save_png(picture, place)
