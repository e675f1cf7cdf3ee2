import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from builders import VOCABULARY, frame_parse

from parsing.document import VideoParse, json_schema, read_parse
from parsing.errors import InputError
from parsing.types import ActionScore, ActionWindow, ModelFacts, VideoFacts, main_action
from parsing.writing import ParseWriter, write_parse

FACTS = VideoFacts("a.mp4", 320, 240, 90, 29.97, 1.5, None, 3, 1)
ACTIONS = (ActionScore("walk", 0.75, 0.0, 1.5), ActionScore("run", 0.875, 1.0, 2.5))
WINDOWS = (ActionWindow(0.0, 1.5, np.array([0.25, 0.75])), ActionWindow(1.0, 2.5, np.array([0.9997, 0.0003])))
MODELS = (
    ModelFacts("tracker", "bytetrack", None, "{}"),
    ModelFacts("recognizer", "tsm", "0" * 64, '{"num_clips": 2}'),
    ModelFacts("recognizer", "tanet", "1" * 64, "{}", used=False),
)
TRACK_ACTIONS = {1: (ActionScore("run", 0.5, 0.0, 0.1), ActionScore("walk", 0.875, 0.05, 0.2))}


def parse() -> VideoParse:
    frames = (
        frame_parse(0, [[10, 20, 60, 120], [100, 30, 140, 90]], [1, -1]),
        frame_parse(1, [], key=False),
        frame_parse(2, [[11, 20, 61, 120.25]], [1], seed=3),
    )
    return VideoParse(FACTS, VOCABULARY, ACTIONS, frames, MODELS, False, TRACK_ACTIONS, None, WINDOWS)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_parse(parse(), tmp_path / "p.json")
    return tmp_path / "p.json"


def test_documents_fit_the_shipped_schema(written: Path) -> None:
    shipped = json.loads((Path(__file__).parents[2] / "parsing/parse.schema.json").read_text())
    assert shipped == json_schema(), "run: python -m parsing.document > parsing/parse.schema.json"
    jsonschema.Draft202012Validator.check_schema(shipped)
    document = json.loads(written.read_text())
    jsonschema.validate(document, shipped)
    document["frames"][0]["persons"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, shipped)


def test_content_by_hand(written: Path) -> None:
    document = json.loads(written.read_text())
    first, second = document["frames"][0]["persons"]
    assert (first["track_id"], second["track_id"]) == (1, None)
    assert first["box"] == [10, 20, 60, 120]
    assert first["parts"]["right_foot"] == {"box": None, "score": 0.0, "visible": False, "states": []}
    states = first["parts"]["left_arm"]["states"]
    assert [s["score"] for s in states] == sorted((s["score"] for s in states), reverse=True)
    assert min(s["score"] for s in states) >= 0.05
    assert {s["label"] for s in states} <= {"bend", "unbend", "raise", "swing"}
    actions = [
        {"label": "run", "score": 0.5, "start_s": 0.0, "end_s": 0.1, "branch": "recognizers"},
        {"label": "walk", "score": 0.875, "start_s": 0.05, "end_s": 0.2, "branch": "recognizers"},
    ]
    track = {"track_id": 1, "start_s": 0.0, "end_s": 0.2, "first_frame": 0, "last_frame": 2, "num_frames": 2}
    assert document["tracks"] == [track | {"actions": actions}]
    assert [model["used"] for model in document["models"]] == [True, True, False]
    assert document["schema_version"] == "1.3"
    assert document["action_windows"] == [
        {"start_s": 0.0, "end_s": 1.5, "branch": "recognizers", "scores": {"walk": 0.75, "run": 0.25}},
        {"start_s": 1.0, "end_s": 2.5, "branch": "recognizers", "scores": {"run": 0.9997}},
    ]
    assert [frame["key"] for frame in document["frames"]] == [True, False, True]
    assert document["complete"] is False


def test_round_trip(written: Path) -> None:
    before, after = parse(), read_parse(written)
    assert (after.facts, after.vocabulary, after.actions, after.models) == (FACTS, VOCABULARY, ACTIONS, MODELS)
    assert after.track_actions == TRACK_ACTIONS
    assert [(w.start_s, w.end_s, w.branch) for w in after.action_windows] == [(w.start_s, w.end_s, w.branch) for w in WINDOWS]
    assert after.action_windows[0].probabilities.tolist() == [0.25, 0.75]
    assert after.mean_action_scores == pytest.approx({"run": (0.25 + 0.9997) / 2, "walk": 0.375}, abs=1e-6)
    for old, new in zip(before.frames, after.frames, strict=True):
        assert (old.index, old.time_s, old.key) == (new.index, new.time_s, new.key)
        assert new.persons.xyxy == pytest.approx(old.persons.xyxy, abs=0.051)
        assert new.parts.visible.tolist() == old.parts.visible.tolist()
        kept = old.states.scores * (old.states.scores >= 0.05)
        assert new.states.scores == pytest.approx(kept, abs=1e-4)


def of_before_1_2(document: dict[str, Any], version: str) -> dict[str, Any]:
    """All actions of the video as one list, and `asked` instead of `used`."""
    del document["action_windows"]
    scores = (("walk", 0.75), ("run", 0.25))
    actions = [{"label": label, "score": score, "start_s": 0.0, "end_s": 1.5, "branch": "recognizers"} for label, score in scores]
    models = [{("asked" if key == "used" else key): value for key, value in model.items()} for model in document["models"]]
    return document | {"schema_version": version, "actions": actions, "models": models}


def test_documents_of_version_1_0_are_read(written: Path) -> None:
    document = of_before_1_2(json.loads(written.read_text()), "1.0")
    for model in document["models"]:
        del model["asked"]
    for track in document["tracks"]:
        del track["actions"]
    for action in document["actions"]:
        del action["branch"]
    del document["branch"], document["vocabulary"]["low_res_actions"]
    jsonschema.validate(document, json_schema())
    written.write_text(json.dumps(document))
    after = read_parse(written)
    assert after.track_actions == {}
    assert all(model.used for model in after.models)
    assert len(after.frames) == 3
    assert after.actions == ACTIONS[:1]
    assert after.mean_action_scores == {"run": 0.25, "walk": 0.75}


def test_documents_of_version_1_1_are_read(written: Path) -> None:
    document = of_before_1_2(json.loads(written.read_text()), "1.1")
    written.write_text(json.dumps(document))
    after = read_parse(written)
    assert after.models == MODELS
    assert after.actions == ACTIONS[:1]
    (window,) = after.action_windows
    assert (window.start_s, window.end_s, window.probabilities.tolist()) == (0.0, 1.5, [0.25, 0.75])
    written.write_text(json.dumps(document | {"actions": []}))
    assert (read_parse(written).actions, read_parse(written).mean_action_scores) == ((), {})
    small = [action | {"branch": "low_res", "label": "ride"} for action in document["actions"]]
    written.write_text(json.dumps(document | {"actions": small}))
    assert [action.label for action in read_parse(written).actions] == ["ride", "ride"]  # these had times before


def test_the_main_action_holds_longest() -> None:
    long, short = ActionScore("run", 0.3, 0, 2), ActionScore("walk", 0.9, 1, 2)
    again = ActionScore("walk", 0.6, 5, 6.5)
    assert main_action([]) is None
    assert main_action([short, long]) == long
    assert main_action([short, long, again]) == short  # 2.5 s in all, its best span
    assert main_action([ActionScore("run", 0.3, 0, 0), ActionScore("walk", 0.7, 0, 0)]) == ActionScore("walk", 0.7, 0, 0)


def test_writing_what_was_read_changes_nothing(written: Path) -> None:
    again = written.with_name("again.json")
    write_parse(read_parse(written), again)
    assert again.read_text() == written.read_text()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with ParseWriter(tmp_path / "p.json", VOCABULARY) as writer:
            writer.add(frame_parse(0, []))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames(tmp_path: Path) -> None:
    write_parse(VideoParse(FACTS, VOCABULARY, (), (), (), True), tmp_path / "p.json")
    assert read_parse(tmp_path / "p.json").frames == ()


def spoil(path: Path, keys: list[Any], value: Any) -> None:
    document = json.loads(path.read_text())
    node = document
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["schema_version"], "9.0", "schema_version"),
        (["frames", 0, "persons", 0, "box"], [1, 2, 3], r"frames.0.persons.0.box"),
        (["tracks", 0, "actions", 0, "score"], 2, r"tracks.0.actions.0.score"),
        (["frames", 0, "persons", 0, "score"], 2, r"frames.0.persons.0.score"),
        (["frames", 0, "persons", 0, "parts", "tail"], {"box": None, "score": 0, "visible": False, "states": []}, "not a parse"),
        (["vocabulary", "part_states"], {}, "not a parse"),
        (["action_windows", 0, "scores"], {"swim": 0.5}, "'swim' is no action of the recognizers"),
    ],
)
def test_what_does_not_fit_is_named(written: Path, keys: list[Any], value: Any, message: str) -> None:
    spoil(written, keys, value)
    with pytest.raises(InputError, match=rf"p\.json: .*{message}") as caught:
        read_parse(written)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1", "[]", "{}"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(InputError, match=r"p\.json: not "):
        read_parse(tmp_path / "p.json")


def test_numbers_that_json_lacks_cannot_be_written(tmp_path: Path) -> None:
    bad = VideoFacts("a", 1, 1, 0, float(np.nan), 0.0, None, 0, 0)
    with pytest.raises(ValueError, match="JSON"):
        write_parse(VideoParse(bad, VOCABULARY, (), (), (), True), tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []


def test_the_readme_shows_a_valid_document() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    jsonschema.validate(json.loads(example), json_schema())
