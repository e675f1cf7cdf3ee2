"""The command `pipelines.export`: folders, parses that are read frame by frame, and what does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from moving import FACTS, moving_parse, write_moving_video

from parsing.datasets import read_records
from parsing.entries import SCHEMA_VERSION
from parsing.errors import InputError
from pipelines.export import build_parser, main


@pytest.fixture
def parse(tmp_path: Path) -> Path:
    moving_parse().save(tmp_path / "p.json")
    return tmp_path / "p.json"


def export(*argv: object) -> int:
    words = [str(word) for word in argv]
    return main(build_parser(words).parse_args([*words, "--quiet"]))


def test_a_folder_is_replaced_when_asked_and_foreign_files_stay(parse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export("webvtt", parse, "--out", out) == 0
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: exists and is not empty; .*--overwrite"):
        export("webvtt", parse, "--out", out)
    assert export("srt", parse, "--out", out, "--overwrite") == 0
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "mine.txt", "walk it.srt"]
    (out / "export.json").unlink()
    with pytest.raises(InputError, match=r"out: holds no export\.json of an earlier export"):
        export("srt", parse, "--out", out, "--overwrite")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["file", "link", "folder", "file for a folder", "link for a folder"])
def test_a_new_file_takes_no_place_of_what_no_export_wrote(kind: str, parse: Path, tmp_path: Path) -> None:
    """Every frame is new beside those of a first export, which took every fourth one."""
    out, mine = tmp_path / "out", tmp_path / "mine"
    mine.mkdir()
    (mine / "note.txt").write_text("mine")
    assert export("yolo", parse, "--step", 4, "--out", out) == 0
    if kind.endswith("for a folder"):
        (out / "labels/train/walk it").rename(mine / "moved")
    place = out / ("labels/train/walk it" if kind.endswith("for a folder") else "labels/train/walk it/img_00002.txt")
    if kind.startswith("link"):
        place.symlink_to(mine / ("moved" if "for" in kind else "note.txt"))
    elif kind == "folder":
        place.mkdir()
    else:
        place.write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r": exists, and no earlier export wrote it|does not lie in the folder"):
        export("yolo", parse, "--out", out, "--overwrite")
    assert contents(tmp_path) == before


def test_a_data_set_of_links_is_made_again_and_the_videos_stay(parse: Path, tmp_path: Path) -> None:
    """Also where an earlier version made hard links, and where the folder lies among the videos."""
    video = write_moving_video(tmp_path)
    before, data = video.read_bytes(), tmp_path / "set/data/walk it.mp4"
    order = ["fiftyone", parse, "--videos", tmp_path, "--out", tmp_path / "set"]
    assert export(*order) == 0
    for _ in range(2):
        assert data.is_symlink()
        assert data.read_bytes() == before
        assert export(*order, "--overwrite") == 0
    data.unlink()
    data.hardlink_to(video)
    with pytest.raises(InputError, match="two videos of the name"):
        export(*order, "--overwrite")
    assert export("fiftyone", parse, "--videos", video, "--out", tmp_path / "set", "--overwrite") == 0
    assert export("srt", parse, "--out", tmp_path / "set", "--overwrite") == 0
    assert not data.exists()
    assert (video.read_bytes(), video.stat().st_nlink) == (before, 1)


@pytest.mark.parametrize("kind", ["itself", "somewhere below", "a link to it", "behind a link to the folder", "a link of the data set"])
def test_what_an_export_replaces_is_no_input(kind: str, parse: Path, tmp_path: Path) -> None:
    video = write_moving_video(tmp_path)
    order = ["fiftyone", parse, "--out", tmp_path / "set", "--videos"]
    assert export(*order, video) == 0
    data = tmp_path / "set/data/walk it.mp4"
    if kind != "a link of the data set":
        data.unlink()
        video.rename(data)
    if kind == "a link to it":
        video.symlink_to(data)
    elif kind == "behind a link to the folder":
        (tmp_path / "link").symlink_to(tmp_path / "set")
    given = {"somewhere below": tmp_path, "a link to it": video, "behind a link to the folder": tmp_path / "link/data"}.get(kind, data)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"set/data/walk it\.mp4: is an input"):
        export(*order, given, "--overwrite")
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_an_empty_folder_may_be_a_link(parse: Path, tmp_path: Path) -> None:
    """What is written in it is moved within its own file system."""
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "out").symlink_to(there)
    assert export("srt", parse, "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in there.iterdir()) == ["export.json", "walk it.srt"]


@pytest.mark.parametrize("names", [["../p.json"], ["/etc/passwd"], ["link/p.json"], ["a\0b"], "p.json", [1], [""]])
def test_a_list_of_files_that_reaches_out_of_the_folder_is_refused(parse: Path, tmp_path: Path, names: object) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path)
    (tmp_path / "out/export.json").write_text(json.dumps({"files": names}))
    with pytest.raises(InputError, match=r"export\.json: "):
        export("srt", parse, "--out", tmp_path / "out", "--overwrite")
    assert parse.exists()


def test_no_input_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    moving_parse().save(tmp_path / "out/p.json")
    (tmp_path / "out/export.json").write_text('{"files": ["p.json"]}')
    with pytest.raises(InputError, match="is an input"):
        export("mot", tmp_path / "out/p.json", "--out", tmp_path / "out", "--overwrite")


def test_a_bad_frame_of_one_parse_ends_no_other(parse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = parse.read_text()
    (tmp_path / "bad.json").write_text(text.replace('"index": 7', '"index": 3').replace("walk it", "bad"))
    assert export("table", tmp_path / "bad.json", parse, "--format", "csv", "--out", tmp_path / "t") == 1
    assert "bad.json: not a parse: frames: index 3 after 6" in capsys.readouterr().err
    rows = (tmp_path / "t/videos.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith('"walk it.mp4"')


def test_parses_that_do_not_fit(parse: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_moving_video(other, replace(FACTS, width=64, height=48))
    with pytest.raises(InputError, match=r"walk it\.mp4: another video than that of the parse: 64 x 48 px, .* 320 x 240 px"):
        export("yolo", parse, "--videos", other, "--out", tmp_path / "yolo")
    with pytest.raises(InputError, match=r"gone: is not the video of the parse"):
        export("coco", parse, "--videos", tmp_path / "gone", "--out", tmp_path / "coco")
    twin = tmp_path / "twin.json"
    replace(moving_parse(), facts=replace(FACTS, name="a/walk it.mp4")).save(twin)
    with pytest.raises(InputError, match="two parses of videos of this name"):
        export("cvat", parse, twin, "--out", tmp_path / "cvat")
    flat = tmp_path / "flat.json"
    replace(moving_parse(), facts=replace(FACTS, width=0)).save(flat)
    with pytest.raises(InputError, match="0 x 240 px in its parse"):
        export("label_studio", flat, "--out", tmp_path / "ls")
    newer = tmp_path / "newer.json"
    newer.write_text(parse.read_text().replace(f'"{SCHEMA_VERSION}"', '"9.0"', 1))
    with pytest.raises(InputError, match=r"newer\.json: not a parse: schema_version: .*'9.0'"):
        export("mot", newer, "--out", tmp_path / "mot")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.json", "newer.json", "other", "p.json", "twin.json"]


FOLDERS = ("coco", "mot", "yolo", "ytvis")  # where a video has a folder of its own, named without its suffix


@pytest.mark.parametrize(
    ("format_", "name"),
    [(format_, name) for format_ in FOLDERS for name in ("...mp4", "a/...mp4", "..mp4")]
    + [(format_, name) for format_ in (*FOLDERS, "cvat", "fiftyone", "srt") for name in ("x" * 260 + ".mp4", "é" * 126 + ".mp4")],
)
def test_a_name_that_no_file_can_have_is_one_line(format_: str, name: str, tmp_path: Path) -> None:
    """A stem of dots would be the folder itself, or the one above it."""
    replace(moving_parse(), facts=replace(FACTS, name=name)).save(tmp_path / "p.json")
    with pytest.raises(InputError) as error:
        export(format_, tmp_path / "p.json", "--out", tmp_path / "out")
    assert str(error.value).startswith(repr(name)[:80])
    assert ".partwise" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(("format_", "num_bytes"), [("fiftyone", 250), ("mot", 254), ("cvat", 251)])
def test_the_longest_names(format_: str, num_bytes: int, tmp_path: Path) -> None:
    facts = replace(FACTS, name="x" * (num_bytes - 4) + ".mp4")
    replace(moving_parse(), facts=facts).save(tmp_path / "p.json")
    assert export(format_, tmp_path / "p.json", "--out", tmp_path / "out") == 0
    replace(moving_parse(), facts=replace(facts, name="x" + facts.name)).save(tmp_path / "p.json")
    with pytest.raises(InputError, match="a name too long"):
        export(format_, tmp_path / "p.json", "--out", tmp_path / "longer")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "../<b>&\x01.mp4"
    replace(moving_parse(), facts=replace(FACTS, name=name)).save(tmp_path / "p.json")
    assert export("cvat", tmp_path / "p.json", "--out", tmp_path / "c") == 0
    (file,) = (tmp_path / "c").glob("*.xml")
    assert file.name == "<b>&\x01.mp4.xml"
    assert "<source>../&lt;b&gt;&amp;\ufffd.mp4</source>" in file.read_text()


def test_corrected_tracks_of_our_file_are_read(parse: Path, tmp_path: Path) -> None:
    """As CVAT gives them back: a track deleted, a box moved at a key frame, a state unticked."""
    write_moving_video(tmp_path)
    export("cvat", parse, "--out", tmp_path / "c")
    file = tmp_path / "c/walk it.mp4.xml"
    text = file.read_text()
    tracks = text.split("<track ")
    kept = [track for track in tracks[1:] if 'group_id="5"' not in track]
    kept[0] = kept[0].replace('xtl="10.00"', 'xtl="4.00"', 1)
    corrected = tracks[0] + "".join("<track " + track for track in kept)
    file.write_text(corrected if corrected.rstrip().endswith("</annotations>") else corrected + "</annotations>\n")
    records = read_records("cvat", file, tmp_path)
    assert {len(record.persons) for record in records} == {1, 2}  # the second is the person without a track
    assert records[0].persons[0].xyxy[0] == 4
