"""The script that counts what a pipeline answers, on parses that the test writes itself."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import script
from part_parses import VOCABULARY, player, video

from parsing.types import ActionScore, ActionWindow
from parsing.writing import write_parse


def test_counts_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    vocabulary = replace(VOCABULARY, actions=("run", "none"))
    answers = {"a": ("run", "run"), "b": ("run", None), "c": ("none", "run"), "d": ("none", None)}  # label, answer
    for name, (_, answer) in answers.items():
        actions = () if answer is None else (ActionScore(answer, 0.9, 0.0, 1.0),)
        windows = (ActionWindow(0.0, 1.0, np.array([0.9, 0.1] if name in "ac" else [0.4, 0.6])),)
        parse = video([player(i, i / 10, 0.5) for i in range(3)], vocabulary)
        write_parse(replace(parse, actions=actions, action_windows=windows, track_actions={1: actions}), tmp_path / f"{name}.mp4.json")
    rows = [f"{label}/{name}.mp4,{label},val,s" for name, (label, _) in answers.items()]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split,scene", *rows, "run/lost.mp4,run,val,s", "run/a.mp4,run,train,s"]))
    monkeypatch.setattr(sys, "argv", ["answers", str(tmp_path), "--labels", str(tmp_path / "labels.csv")])
    script("action_answers").main()
    assert capsys.readouterr().out.splitlines() == [
        "videos: top-1 0.500 of 4",
        "videos of an action: right 0.500 of 2",
        "videos of an action: answered 0.500 of 2",
        "videos of none: answered 0.500 of 2",
        "tracks of an action: right 0.500 of 2",
        "tracks of an action: answered 0.500 of 2",
        "tracks of none: answered 0.500 of 2",
    ]
