"""Long parses: frames are read one by one, and none is kept after its turn."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import frame_parse
from moving import FACTS, moving_parse

from parsing.configs import chosen_class
from parsing.types import FrameParse
from pipelines.exporters import EXPORTERS
from pipelines.selection import candidates
from pipelines.viewer.gather import gather

NUM_FRAMES = 150
FORMATS = [name for name in EXPORTERS if name not in ("kinetics-tps", "tinyvirat")]  # those take single frames of short videos


class Stream:
    """A parse whose frames come one by one; `most` is how many of them were there at a time."""

    def __init__(self, num_persons: int = 2) -> None:
        self.num_persons, self.alive, self.most = num_persons, 0, 0
        self.parse = replace(moving_parse(), frames=(), facts=replace(FACTS, frames_decoded=NUM_FRAMES, duration_s=NUM_FRAMES / 10))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parse, name)

    @property
    def frames(self) -> Iterator[FrameParse]:
        for i in range(NUM_FRAMES):
            frame = frame_parse(i, [[10 + n, 20 + i % 7, 60 + n, 120] for n in range(self.num_persons)], seed=i)
            weakref.finalize(frame, self._went)
            self.alive += 1
            self.most = max(self.most, self.alive)
            yield frame

    def _went(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("name", FORMATS)
def test_exporters_keep_no_frame(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsing.tables.FRAMES_AT_ONCE", 10)
    if name == "rerun":
        pytest.importorskip("rerun")
    stream = Stream()
    chosen_class(EXPORTERS, name)().write([stream], tmp_path / "out")
    assert (tmp_path / "out").exists()
    assert stream.most <= (22 if name == "table" else 4)  # tables are written in pieces, of which the next is gathered beside the last


def test_reports_and_selections_keep_few_frames() -> None:
    stream = Stream()
    gathered = gather(stream.parse, stream.frames, 0.5)
    assert len(gathered.tracks) == 2
    assert stream.most <= 4
    stream = Stream()
    assert len(candidates([stream], {})) == NUM_FRAMES  # type: ignore[list-item]
    assert stream.most <= 5  # key frames before and after
