"""`pipelines.report`, without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from scenes import HOSTILE, hostile_vocabulary, person_frame, scene, write_clip

from parsing.entries import SCHEMA_VERSION
from parsing.errors import InputError
from parsing.media.images import image_size
from parsing.types import ActionScore
from pipelines.report import build_parser, main

FRAMES = [person_frame(i, [1, 2]) for i in range(20)]


def report(*arguments: object) -> int:
    return main(build_parser().parse_args([*map(str, arguments), "--quiet"]))


def content(page: Path) -> dict[str, Any]:
    """What the page has in its script element of data."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)
    found: dict[str, Any] = json.loads(text)
    return found


def test_one_page_with_its_video_and_pictures(tmp_path: Path) -> None:
    parse = scene(tmp_path, FRAMES)
    write_clip(tmp_path / "clip.mp4", 20)
    (tmp_path / "out").mkdir()
    assert report(parse, "--out", tmp_path / "out/r.html", "--png") == 0
    found = content(tmp_path / "out/r.html")
    assert found["media"] == {"kind": "video", "address": "../clip.mp4"}
    assert [track["track_id"] for track in found["tracks"]] == [1, 2]
    assert found["tracks"][0]["actions"] == [["run", 0.6, 0.0, 1.0]]
    assert set(found["pictures"]) == {"1", "2"}
    assert found["warnings"] == []
    assert found["notes"] == []
    assert sum(seconds for *_, seconds, _ in found["totals"]) == pytest.approx(2 * 10 * 2.0)  # tracks, parts, seconds
    for name in ("r_timeline.png", "r_tracks.png"):
        assert min(image_size(tmp_path / "out" / name)) > 200


def test_the_policy_allows_this_script_and_style_and_no_network(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    report(scene(tmp_path, FRAMES), "--out", page)
    text = page.read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "media-src", "base-uri", "form-action"}
    for kind, element in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        (inner,) = re.findall(element, text, re.S)
        assert rules[kind] == f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"
    assert "http:" not in text
    assert "https:" not in text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    words = hostile_vocabulary()
    frames = [person_frame(i, [1], words) for i in range(4)]
    parse = scene(tmp_path, frames, HOSTILE, words, actions=[ActionScore(HOSTILE, 0.5, 0, 1)], note=HOSTILE)
    assert report(parse, "--out", tmp_path / "r.html") == 0
    assert report(tmp_path, "--out", tmp_path / "all") == 0
    page, index = (tmp_path / "r.html").read_text(), (tmp_path / "all/index.html").read_text()
    assert page.count("</script>") == 2
    for text in (page, index):
        assert "<img src=x" not in text
        assert not re.search("[\u202e\u2028]", text)
    found = content(tmp_path / "r.html")
    assert found["states"][0][0] == HOSTILE.replace("\u202e", "\\u202e").replace("\u2028", "\\u2028")


def test_the_video_of_a_strange_name_is_linked_so_that_it_is_found(tmp_path: Path) -> None:
    name = "a:b#c?d %41é'\".mp4"
    write_clip(tmp_path / name, 20)
    report(scene(tmp_path, FRAMES, name), "--out", tmp_path / "r.html")
    assert content(tmp_path / "r.html")["media"]["address"] == "a%3Ab%23c%3Fd%20%2541%C3%A9%27%22.mp4"


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".avi", "mpeg4")])
def test_an_embedded_video_is_one_that_browsers_play(tmp_path: Path, suffix: str, codec: str) -> None:
    video = write_clip(tmp_path / f"clip{suffix}", 20, codec=codec)
    report(scene(tmp_path, FRAMES, video.name), "--out", tmp_path / "r.html", "--embed")
    kind, data = content(tmp_path / "r.html")["media"]["address"].split(",")
    assert kind == "data:video/mp4;base64"
    (tmp_path / "copy.mp4").write_bytes(base64.b64decode(data))
    assert b"ftyp" in base64.b64decode(data)[:16]


def test_warnings_and_nobody(tmp_path: Path) -> None:
    parse = scene(tmp_path, [person_frame(i, []) for i in range(3)], complete=False, actions=(), note="shared actions: 3")
    assert report(parse, "--out", tmp_path / "r.html", "--png") == 0
    told = content(tmp_path / "r.html")["warnings"]
    assert any("damaged or cut off" in text for text in told)
    assert "No person was found." in told
    assert "No action was recognized." in told
    assert "tracker (bytetrack): shared actions: 3" in told
    assert content(tmp_path / "r.html")["media"]["kind"] == "none"


def test_two_hundred_tracks(tmp_path: Path) -> None:
    parse = scene(tmp_path, [person_frame(i, range(200)) for i in range(3)])
    assert report(parse, "--out", tmp_path / "r.html", "--png") == 0
    assert len(content(tmp_path / "r.html")["tracks"]) == 200


def test_a_long_parse_is_thinned_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.viewer.columns.MOST_ROWS", 10)
    parse = scene(tmp_path, FRAMES)
    report(parse, "--out", tmp_path / "r.html")
    assert any("one of 4 analysed frames" in note for note in content(tmp_path / "r.html")["notes"])


def test_a_folder_becomes_an_index_and_a_bad_parse_does_not_end_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(tmp_path / "in/a", FRAMES, "a & b.mp4")
    scene(tmp_path / "in/b", FRAMES)
    (tmp_path / "in/bad.json").write_text('{"schema_version": "9"}')
    assert report(tmp_path / "in", "--out", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-parse.html", "b-parse.html", "index.html"]
    index = (tmp_path / "out/index.html").read_text()
    assert 'href="a-parse.html"' in index
    assert "a &amp; b.mp4" in index
    assert "<script" not in index
    (line,) = capsys.readouterr().err.splitlines()
    assert "bad.json" in line


def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    parse, page = scene(tmp_path, FRAMES), tmp_path / "r.html"
    other, short = write_clip(tmp_path / "other.mp4", 20, (64, 48)), write_clip(tmp_path / "long.mp4", 60)
    with pytest.raises(InputError, match=r"another video than that of the parse \(clip\.mp4\): 64 x 48 px"):
        report(parse, "--video", other, "--out", page)
    with pytest.raises(InputError, match=r"6\.0 s, the parse is of one of 2\.0 s"):
        report(parse, "--video", short, "--out", page)
    with pytest.raises(InputError, match=r"none\.mp4: no such file"):
        report(parse, "--video", tmp_path / "none.mp4", "--out", page)
    with pytest.raises(InputError, match="one page"):
        report(tmp_path, "--out", page)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder without parses"):
        report(tmp_path / "empty", "--out", tmp_path / "out")
    (tmp_path / "old.json").write_text(parse.read_text().replace(f'"{SCHEMA_VERSION}"', '"7.0"', 1))
    with pytest.raises(InputError, match="schema_version"):
        report(tmp_path / "old.json", "--out", page)
    assert not page.exists()


def test_outputs_are_neither_replaced_nor_inputs(tmp_path: Path) -> None:
    parse = scene(tmp_path, FRAMES)
    report(parse, "--out", tmp_path / "r.html")
    with pytest.raises(InputError, match="exists"):
        report(parse, "--out", tmp_path / "r.html")
    assert report(parse, "--out", tmp_path / "r.html", "--overwrite") == 0
    video = write_clip(tmp_path / "video.mp4", 20).rename(tmp_path / "video.html")
    with pytest.raises(InputError, match="is an input"):
        report(parse, "--video", video, "--out", video, "--overwrite")
