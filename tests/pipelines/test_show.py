"""`pipelines.show`: a parse in a few lines."""

from pathlib import Path

import pytest
from scenes import HOSTILE, hostile_vocabulary, person_frame, scene

from parsing.errors import InputError
from parsing.types import ActionScore
from pipelines.show import build_parser, main


def show(*arguments: object) -> int:
    return main(build_parser().parse_args([*map(str, arguments), "--quiet"]))


def test_plain_lines_with_what_a_reader_wants_to_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(scene(tmp_path, [person_frame(i, [1, 2]) for i in range(20)])) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "2 tracks, at most 2 at once" in text
    assert "walk 0.75, 0:00.0 to 0:01.0" in text
    (first,) = [line for line in text.splitlines() if line.startswith("#1")]
    assert first.split()[1:5] == ["0:00.0", "0:01.9", "20", "0.90"]
    assert "run 0.60" in first
    assert "50%" in first
    (arm,) = [line for line in text.splitlines() if line.startswith("left_arm")]
    assert "bend 2.0" in arm
    assert "unbend 2.0" in arm


def test_nobody_many_and_hostile_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(scene(tmp_path / "a", [], actions=()))
    assert "No person was found." in capsys.readouterr().out
    show(scene(tmp_path / "b", [person_frame(i, range(200)) for i in range(2)]), "--tracks", 3)
    text = capsys.readouterr().out
    assert "the 3 longest tracks" in text
    assert sum(line.startswith("#") for line in text.splitlines()) == 3
    words = hostile_vocabulary()
    frames = [person_frame(i, [1], words) for i in range(3)]
    show(scene(tmp_path / "c", frames, "[red]\x1b[31m\n" + HOSTILE, words, actions=[ActionScore(HOSTILE, 0.5, 0, 1)]))
    text = capsys.readouterr().out
    assert not {"\x1b", "\u202e", "\u2028"} & set(text)
    assert "[red]" in text


def test_a_bad_parse_does_not_end_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(tmp_path / "a", [person_frame(0, [1])])
    (tmp_path / "bad.json").write_text("[]")
    assert show(tmp_path) == 1
    found = capsys.readouterr()
    assert "clip.mp4" in found.out
    assert "bad.json" in found.err
    with pytest.raises(InputError, match=r"bad\.json"):
        show(tmp_path / "bad.json")
