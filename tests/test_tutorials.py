"""Tutorials run from their first block to the last one."""

from __future__ import annotations

import shutil
from pathlib import Path

import documented
import numpy as np
import pytest
from builders import write_video
from pages import ROOT

import detectors


@pytest.fixture
def folder(tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the videos that the pages take for given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    documented.as_default(monkeypatch, tiny_pipeline)
    pictures = [np.full((136, 160, 3), 20 * i, np.uint8) for i in range(8)]
    (tmp_path / "clips").mkdir()
    for name in ("video.mp4", "clips/meeting.mp4"):
        write_video(tmp_path / name, pictures)
    return tmp_path


def test_from_a_video_to_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documented.run_page(ROOT / "docs/five_minutes.md")
    assert (folder / "report.html").is_file()
    assert (folder / "again.json").is_file()
    assert "persons" in capsys.readouterr().out


def test_own_parts(folder: Path) -> None:
    documented.run_page(ROOT / "docs/own_parts.md")
    assert '"left_glove"' in (folder / "val000.json").read_text()


@pytest.mark.usefixtures("folder")
def test_a_stage_is_added(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(detectors.PERSON_DETECTORS, "hog", "forgotten after the test")
    documented.run_page(ROOT / "docs/add_a_stage.md")
    assert "'hog'" in capsys.readouterr().out


def test_five_tasks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_command = documented.run_command

    def with_somebody_who_corrects(name: str, *words: str) -> None:
        run_command(name, *words)
        if name == "select":
            shutil.copy("task/annotations.xml", "task/corrected.xml")

    monkeypatch.setattr(documented, "run_command", with_somebody_who_corrects)
    documented.run_page(ROOT / "docs/tasks.md")
    assert (folder / "meeting.html").is_file()
    assert (folder / "cvat/labels.json").is_file()
