"""Notebooks run from their first cell to the last one, and are kept without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any

import documented
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from builders import write_video
from pages import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    return list(found["cells"])


def as_python(source: str) -> str:
    """The code of a cell; lines that a shell runs are run by `documented.run_line`, with $names of Python in them."""
    run = "run_line(Template({!r}).safe_substitute(globals()))"
    return re.sub(r"^!(.*)$", lambda line: run.format(line[1]), source.replace("\\\n", " "), flags=re.MULTILINE)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(notebook: Path) -> None:
    found = cells(notebook)
    assert len({cell["id"] for cell in found}) == len(found) > 0
    assert not [cell for cell in found if cell.get("outputs") or cell.get("execution_count") is not None]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook: Path, tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    documented.as_default(monkeypatch, tiny_pipeline)
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    write_video(tmp_path / "video.mp4", [noise] * 16)
    namespace: dict[str, Any] = {"run_line": documented.run_line, "Template": Template}
    with matplotlib.rc_context({"backend": "Agg"}):
        for cell in cells(notebook):
            if cell["cell_type"] == "code":
                exec(compile(as_python("".join(cell["source"])), f"{notebook.name}, {cell['id']}", "exec"), namespace)
        plt.close("all")
