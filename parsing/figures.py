"""Figures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from parsing.files import atomic


def save_png(figure: Figure, path: Path) -> None:
    """A PNG, whole or not at all."""
    with atomic(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
