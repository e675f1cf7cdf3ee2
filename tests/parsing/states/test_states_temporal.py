"""The temporal head: it starts as nothing, sees the same windows in training and in a stream, and learns what moves."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from builders import VOCABULARY, frame, frame_parse

from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.learning.experiment import experiment
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.pose import pose_vocabulary
from parsing.states.data import StateTable
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.observations import GEOMETRY, MOTION, Observations
from parsing.states.temporal import TemporalArchitecture, TemporalFilter, TemporalHead, TemporalHeadConfig, load_temporal_head
from parsing.states.temporal_train import StateFilterTraining
from parsing.states.windows import Windows, link
from parsing.types import FrameParse, ModelFacts
from parsing.vocabulary import PART_NAMES, Vocabulary

FREE = replace(VOCABULARY, exclusive=())
ALLOWED = torch.from_numpy(VOCABULARY.allowed)
FACTS = ModelFacts("state_filter", "temporal_head", None, "{}")


def head(kind: str = "sigmoid", **changed: object) -> TemporalHead:
    torch.manual_seed(0)
    return TemporalHead(TemporalArchitecture(kind, dim=16, **({"spacing_s": 0.0} | changed)), ALLOWED).eval()  # type: ignore[arg-type]


def moved(net: TemporalHead) -> TemporalHead:
    """A head that does change things."""
    torch.nn.init.normal_(net.output.weight)
    return net


def stream(net: TemporalHead, parses: list[FrameParse], vocabulary: Vocabulary = FREE) -> list[FrameParse]:
    found = TemporalFilter(net, vocabulary, "cpu", FACTS)((frame(p.index), p) for p in parses)
    return [parse for _, parse in found if parse is not None]


BOXES = [[0.0, 0, 20, 40], [50.0, 0, 80, 60]]


def test_a_new_head_changes_nothing() -> None:
    parses = [frame_parse(i, BOXES, [1, 2], seed=i) for i in range(5)]
    for before, after in zip(parses, stream(head(), parses), strict=True):
        shown = before.states.scores * before.parts.visible[..., None]
        assert after.states.scores == pytest.approx(np.clip(shown, 1e-4, 1) * (shown > 0), abs=2e-4)


def test_states_that_exclude_each_other_do_so_behind_the_head() -> None:
    (parse,) = (frame_parse(0, BOXES, [1, 2], seed=0),)
    parse.states.scores[:] = 0.8
    bend, unbend = (VOCABULARY.states.index(state) for state in ("bend", "unbend"))
    arm = PART_NAMES.index("left_arm")
    seen = parse.parts.visible[:, arm]
    for words, total in ((FREE, 1.6), (VOCABULARY, 1.0)):
        (after,) = stream(head(), [parse], words)
        assert after.states.scores[seen][:, arm, [bend, unbend]].sum(1) == pytest.approx(np.full(seen.sum(), total), abs=1e-3)


def seen_at(middles: list[list[float]], persons: list[list[float]], times: list[float]) -> Observations:
    """One person in T slots whose two parts are squares of 4 px around the given x; the second part stands at 10 px of the person."""
    seen = Observations.empty(1, len(times), 2, 1)
    for slot, ((x1, x2), person, time) in enumerate(zip(middles, persons, times, strict=True)):
        parts = np.float32([[[x - 2, 10, x + 2, 14] for x in (x1, x2)]])
        seen.put(np.arange(1), slot, np.zeros((1, 2, 1)), np.float32([person]), parts, np.ones((1, 2), bool), time)
    return seen


def test_parts_move_in_sizes_of_the_person_a_second() -> None:
    """The person is 40 px high and walks 8 px in 0.2 s, one size a second; the first of three parts moves 4 px more than the others."""
    seen = Observations.empty(1, 2, 3, 1)
    for slot, xs in enumerate(([10, 20, 30], [22, 28, 38])):
        parts = np.float32([[[x - 2, 10, x + 2, 14] for x in xs]])
        seen.put(np.arange(1), slot, np.zeros((1, 3, 1)), np.float32([[0, 0, 20, 40]]), parts, np.ones((1, 3), bool), 0.2 * slot)
    motion = seen.features(True)[0, :, :, -MOTION:]
    assert not motion[0].any()  # nothing is known before the first time
    np.testing.assert_allclose(motion[1, :, 0], [0.5, 0, 0], atol=1e-6)  # across, relative to the person
    np.testing.assert_allclose(motion[1, :, 2], [0.5, 0, 0], atol=1e-6)  # speed
    np.testing.assert_allclose(motion[1, :, 5:7], [[1, 0]] * 3, atol=1e-6)  # of the person
    assert motion[1, :, -1].tolist() == [1, 1, 1]


def test_motion_is_unknown_where_a_part_was_not_seen() -> None:
    seen = seen_at([[10, 20], [30, 20], [30, 20]], [[0, 0, 20, 40]] * 3, [0.0, 0.2, 0.4])
    seen.visible[0, 0, 0] = False
    motion = seen.features(True)[0, :, :, -MOTION:]
    assert not motion[1, 0].any()
    assert motion[1, 1, -1] == 1
    assert seen.features(False).shape == (1, 3, 2, 1 + GEOMETRY)
    assert Observations.empty(0, 3, 2, 1).features(True).shape == (0, 3, 2, 1 + GEOMETRY + MOTION)


def test_a_head_with_motion_sees_more_and_starts_as_nothing() -> None:
    parses = [frame_parse(i, BOXES, [1, 2], seed=i) for i in range(5)]
    with_motion = head(motion=True)
    assert with_motion.input.in_features == head().input.in_features + MOTION
    for before, after in zip(parses, stream(with_motion, parses), strict=True):
        shown = before.states.scores * before.parts.visible[..., None]
        assert after.states.scores == pytest.approx(np.clip(shown, 1e-4, 1) * (shown > 0), abs=2e-4)


def test_only_the_own_track_counts() -> None:
    # 0.1 s apart: the head below takes them all.
    parses = [frame_parse(i, BOXES, [1, 2], seed=i) for i in range(3)]
    changed = [parses[0], parses[1], frame_parse(2, BOXES, [1, 7], seed=9)]
    first, second = stream(moved(head()), parses)[1], stream(moved(head()), changed)[1]
    assert not np.allclose(first.states.scores, second.states.scores)
    others = [frame_parse(2, BOXES, [8, 9], seed=s) for s in (2, 9)]
    one, two = (stream(moved(head()), [parses[0], parses[1], other])[1] for other in others)
    assert np.array_equal(one.states.scores, two.states.scores)
    lost = [frame_parse(i, BOXES, [-1, -1], seed=i) for i in range(3)]
    alone = [stream(moved(head()), [parse])[0] for parse in lost]
    for a, b in zip(stream(moved(head()), lost), alone, strict=True):
        assert a.states.scores == pytest.approx(b.states.scores, abs=1e-6)


def test_training_windows_are_those_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same persons, once as a table of annotations and once as tracked parses 0.1 s apart."""
    parses = [frame_parse(i, [[box[0] + i, box[1], box[2] + i, box[3]] for box in BOXES], [1, 2], seed=i) for i in range(6)]
    rows = [(parse, n) for parse in parses for n in range(2)]
    count, shape = len(rows), VOCABULARY.allowed.shape
    table = StateTable(
        [Path(f"img_{p.index:05d}.jpg") for p, _ in rows],
        np.full(count, "s"),
        np.full(count, "v"),
        np.array([p.index for p, _ in rows]),
        np.stack([p.persons.xyxy[n] for p, n in rows]),
        np.stack([p.parts.xyxy[n] for p, n in rows]),
        np.stack([p.parts.visible[n] for p, n in rows]),
        np.zeros((count, *shape), bool),
        np.ones((count, *shape), bool),
        np.full(count, -1),
        np.zeros((count, 0)),
    )
    assert link(table, 10).tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1, -1]
    assert link(replace(table, frames=table.frames * 20), 10).tolist() == [-1] * 12
    windows = Windows(table, np.stack([p.states.scores[n] for p, n in rows]), steps=2, window_s=0.6, fps=10.0, most_gap=10)
    assert windows.track_ids.tolist() == [0, 1] * 6
    monkeypatch.setattr("parsing.states.windows.NEIGHBOUR_DROP", 0.0)
    state_filter = TemporalFilter(head(spacing_s=0.0), VOCABULARY, "cpu", FACTS)
    for index in (0, 5, 11):
        parse, n = rows[index]
        features, present = state_filter._window(parse, [p for p in parses if p is not parse and abs(p.index - parse.index) <= 5])
        expected, there, _, _ = windows[index, 0]
        np.testing.assert_allclose(features[n], expected, atol=1e-5)
        np.testing.assert_array_equal(present[n], there)


def test_neighbours_keep_their_distance() -> None:
    """Key frames every 0.1 s, of which the head takes every second: 0.2 and 0.4 s away."""
    parses = [frame_parse(i, BOXES, [1, 2], seed=i) for i in range(9)]
    state_filter = TemporalFilter(head(spacing_s=0.15), VOCABULARY, "cpu", FACTS)
    features, _ = state_filter._window(parses[4], [p for p in parses if p.index != 4])
    assert features[0, :, 0, -1] == pytest.approx([-0.4, -0.2, 0, 0.2, 0.4], abs=1e-6)
    lonely, present = state_filter._window(parses[0], parses[1:])
    assert lonely[0, :, 0, -1] == pytest.approx([0, 0, 0, 0.2, 0.4], abs=1e-6)
    assert present[0, :, 0].tolist() == [False, False, True, True, True]


def test_some_windows_hold_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a person is made to hold still, all slots show the middle, and states of motion do not hold."""
    parses = [frame_parse(i, [[box[0] + 2 * i, box[1], box[2] + 2 * i, box[3]] for box in BOXES], [1, 2], seed=i) for i in range(3)]
    table = StateTable(
        [Path("a.jpg")] * 3, np.full(3, "s"), np.full(3, "v"), np.arange(3) * 5,
        np.stack([p.persons.xyxy[0] for p in parses]), np.stack([p.parts.xyxy[0] for p in parses]), np.ones((3, 10), bool),
        np.ones((3, *VOCABULARY.allowed.shape), bool), np.zeros((3, *VOCABULARY.allowed.shape), bool), np.full(3, -1), np.zeros((3, 0)),
    )  # fmt: skip
    monkeypatch.setattr("parsing.states.windows.NEIGHBOUR_DROP", 0.0)
    monkeypatch.setattr("parsing.states.windows.BOX_JITTER", 0.0)
    moving = np.isin(VOCABULARY.states, ("swing", "step"))
    scores = np.stack([p.states.scores[0] for p in parses])
    for share in (0.0, 1.0):
        monkeypatch.setattr("parsing.states.windows.STILL", share)
        windows = Windows(table, scores, 1, 0.6, 25.0, 10, motion=True, motion_states=moving)
        features, present, holds, known = windows[1, 0]
        assert present.all()
        assert bool(features[..., -MOTION:-1].any()) == (share == 0)
        assert holds[:, moving].all() == (share == 0)
        assert known[:, moving].all() == (share == 1)
        assert not known[:, ~moving].any()


def write_moving(root: Path, videos: int = 12, frames: int = 5) -> Path:
    """Annotated videos in which the left hand swings or holds still, which a single grey picture does not show."""
    for split in ("train", "val"):
        for v in range(videos):
            swings = v % 2 == 0
            tree, pictures = (root / split / kind / "run" / f"v{v}" for kind in ("annotations", "frames"))
            tree.mkdir(parents=True)
            pictures.mkdir(parents=True)
            for i in range(frames):
                x = 30 + (v % 3) * 4 + (14 * (-1) ** i if swings else 0)
                part = {"box": [x, 30, x + 10, 40], "verb": "swing" if swings else "still"}
                human = {"box": [10, 10, 60, 90], "parts": {"left_hand": part}}
                (tree / f"img_{5 * i + 1:05d}.json").write_text(json.dumps({"humans": [human]}))
                cv2.imwrite(str(pictures / f"img_{5 * i + 1:05d}.jpg"), np.full((96, 72, 3), 128, np.uint8))
    (root / "part_stat.txt").write_text("still\nswing\n")
    (root / "classes.txt").write_text("run\n")
    return root


def test_it_learns_what_moves(tmp_path: Path) -> None:
    root = write_moving(tmp_path / "set")
    rows = tuple(("still", "swing") if name == "left_hand" else () for name in PART_NAMES)
    vocabulary = Vocabulary("v", PART_NAMES, ("still", "swing"), rows, ("run",))
    architecture = PartStateArchitecture("test_efficientnet", 1, 2, input_px=32, dim=8, heads=2, head="softmax")
    torch.manual_seed(0)
    base = PartStateNet(architecture, torch.from_numpy(vocabulary.allowed), 1)
    save_weights(base, tmp_path / "base.safetensors", WeightsHeader("part_state_net", asdict(architecture), vocabulary.to_json()))
    settings = {
        "name": "temporal_head",
        "base": str(tmp_path / "base.safetensors"),
        "data": {"root": str(root)},
        "fit": {"epochs": 20, "batch_size": 8, "lr": 0.02, "ema_decay": 0.0},
        "dim": 16,
        "motion_states": ["swing"],
    }
    with pytest.raises(InputError, match="motion_states: 'sway': unknown state"):
        parse_config(StateFilterTraining, settings | {"motion_states": ["sway"]}, "t").prepare("cpu")
    parse_config(StateFilterTraining, settings | {"initial": "gone.safetensors"}, "t").prepare("cpu", resumed=True)
    training = parse_config(StateFilterTraining, settings, "t")
    experiment(training, tmp_path / "run", quiet=True)
    trained = training.component(str(tmp_path / "run/weights.safetensors"))
    metrics = training.evaluate(trained.build("cpu"), device="cpu")
    assert metrics["all"]["mean_ap"] == 1
    assert metrics["single"]["mean_ap"] < 0.8
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert last["all"]["top1"] == 1
    net, found = load_temporal_head(str(tmp_path / "run/weights.safetensors"), "cpu")
    assert found == vocabulary
    assert net.architecture.head == "softmax"


def test_weights_of_other_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(head(), path, WeightsHeader("temporal_head", asdict(head().architecture), VOCABULARY.to_json()))
    state_filter = TemporalHeadConfig("temporal_head", str(path)).build("cpu")
    state_filter.check(pose_vocabulary(("other",)))  # actions do not matter
    with pytest.raises(InputError, match="differ in their parts or states"):
        state_filter.check(Vocabulary("v", PART_NAMES, ("bend",), tuple(("bend",) for _ in PART_NAMES), ()))
