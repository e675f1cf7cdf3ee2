"""From a folder of parses over a training to figures, saved scores and mixtures, in a vocabulary that no code knows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from part_parses import ACTIONS, PARTS, VOCABULARY, nobody, player, video, write_parses

from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.networks.weights import read_header
from parsing.writing import write_parse
from pipelines import evaluate, train
from recognizers.parts.data import PartClipConfig
from recognizers.parts.network import PartTracksArchitecture
from recognizers.parts.stage import PartTracksConfig, load_part_tracks
from recognizers.parts.train import PartActionTraining
from recognizers.parts.views import PartViewConfig, PartViews, collate
from recognizers.scores import SavedScores, one_hot, shared

ARCHITECTURE = {"grid": {"steps": 12, "step_s": 0.1}, "part_dim": 6, "dim": 12, "depth": 1, "kernels": [3, 5], "dropout": 0.0}


@pytest.fixture(scope="module")
def parses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parses(tmp_path_factory.mktemp("parts") / "parses")


def settings(root: Path, **more: object) -> dict[str, object]:
    fit = {"epochs": 40, "batch_size": 9, "lr": 0.03, "ema_decay": 0.0}
    views = {"speed": 0.1, "shortest": 0.9, "drop_frames": 0.2, "drop_parts": 0.0}
    made = {"name": "part_tracks", "architecture": ARCHITECTURE, "data": {"root": str(root)}, "fit": fit, "views": views, "eval_every": 40}
    return made | more


@pytest.fixture(scope="module")
def run(parses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    config = out.parent / "training.yaml"
    config.write_text(yaml.safe_dump(settings(parses)))
    arguments = ["part_actions", "--config", str(config), "--out", str(out), "--device", "cpu", "--quiet"]
    assert train.main(train.build_parser().parse_args(arguments)) == 0
    return out


def figures(arguments: list[str]) -> dict[str, object]:
    return evaluate.evaluate_recognizer(evaluate.build_parser(arguments).parse_args([*arguments, "--device", "cpu", "--quiet"]))


def test_rackets_that_rise_are_told_from_those_that_fall(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["all"]["top1"] == 1.0
    header = read_header(str(run / "best.safetensors"), "part_tracks")
    assert (header.labels["actions"], header.labels["parts"]) == (list(ACTIONS), list(PARTS))
    _, vocabulary, labels = load_part_tracks(str(run / "best.safetensors"), "cpu")
    assert (vocabulary.parts, vocabulary.states, labels.names) == (VOCABULARY.parts, VOCABULARY.states, ACTIONS)
    assert (run / "val_scores.npz").is_file()
    assert (run / "confusion.png").is_file()


def test_scores_are_saved_and_mixed(run: Path, tmp_path: Path) -> None:
    config, saved = str(run.parent / "training.yaml"), tmp_path / "parts.npz"
    weights = str(run / "best.safetensors")
    found = figures(["part_actions", "--config", config, "--weights", weights, "--save", str(saved), "--out", str(tmp_path / "report")])
    assert found["all"]["top1"] == 1.0  # type: ignore[index]
    scores = SavedScores.load(saved)
    assert scores.videos.tolist() == ["raise/raise4.mp4", "lower/lower4.mp4"]
    replace(scores, name="frames", logits=np.zeros_like(scores.logits)).save(tmp_path / "frames.npz")
    arguments = ["recognizer", "--scores", str(tmp_path / "frames.npz"), str(saved), "--out", str(tmp_path / "mixed")]
    mixed = evaluate.evaluate_recognizer(evaluate.build_parser(arguments).parse_args(arguments))
    assert set(mixed["members"]) == {"frames", "parts"}
    assert sum(mixed["weights"].values()) == pytest.approx(1)
    train_scores = tmp_path / "train.npz"
    figures(["part_actions", "--config", config, "--weights", weights, "--split", "train", "--save", str(train_scores)])
    assert len(SavedScores.load(train_scores).videos) == 9  # with the clip that shows nobody


def test_scores_of_other_sets_are_mixed_over_what_they_share(tmp_path: Path) -> None:
    def save(name: str, videos: list[str], actions: list[str], labels: list[int]) -> str:
        table = np.arange(len(videos) * len(actions), dtype=float).reshape(len(videos), -1)
        columns = np.array(videos), np.array(actions), one_hot(np.array(labels), len(actions)), table
        scores = SavedScores(name, *columns, np.ones(len(videos)), np.ones(len(videos), bool), False, np.array(["none"]))
        scores.save(tmp_path / f"{name}.npz")
        return str(tmp_path / f"{name}.npz")

    frames = save("frames", ["a", "b", "c", "d"], ["none", "jump", "run"], [2, 1, 0, 2])
    parts = save("parts", ["c", "b", "a"], ["run", "jump"], [-1, 1, 0])
    arguments = ["recognizer", "--scores", frames, parts, "--shared"]
    found = evaluate.evaluate_recognizer(evaluate.build_parser(arguments).parse_args(arguments))
    assert found["all"]["num_videos"] == 2
    assert found["members"].keys() == {"frames", "parts"}
    one, other = shared([SavedScores.load(Path(frames)), SavedScores.load(Path(parts))], [Path(frames), Path(parts)])
    assert one.videos.tolist() == other.videos.tolist() == ["a", "b"]
    assert one.actions.tolist() == other.actions.tolist() == ["jump", "run"]
    assert (one.truth == other.truth).all()
    assert one.logits.tolist() == [[1, 2], [4, 5]]
    assert other.logits.tolist() == [[5, 4], [3, 2]]
    lonely = save("lonely", ["z"], ["run"], [0])
    with pytest.raises(InputError, match=r"lonely\.npz: shares no clip of a shared action with .*frames\.npz"):
        shared([SavedScores.load(Path(frames)), SavedScores.load(Path(lonely))], [Path(frames), Path(lonely)])


def test_views_follow_their_seed_and_a_mirror_changes_sides(parses: Path) -> None:
    data = PartClipConfig(str(parses))
    labels = data.learned(data.records())
    clips = data.clips("train", labels, data.records())
    targets, architecture = clips.targets(labels), parse_config(PartTracksArchitecture, ARCHITECTURE, "")
    views = PartViews(clips, targets, np.array([1, 0]), architecture, PartViewConfig(flip=1.0))
    one, again, other = views[(0, 5)], views[(0, 5)], views[(0, 6)]
    assert (one[0][0].parts == again[0][0].parts).all()
    assert (one[0][0].parts != other[0][0].parts).any()
    assert one[1] == 1 - targets[0]
    assert not one[0][0].parts[:, PARTS.index("right_glove")].any()  # it is the left one in a mirror, and that is hidden
    plain = PartViews(clips, targets, np.arange(2), architecture, PartViewConfig(0, 0, 1, 0, 0, 0, 0, 0, 0))
    assert plain[(0, 1)][0][0].person[:, 0].sum() >= 8
    parts, persons, wanted = collate([plain[(i, i)] for i in range(len(plain))])
    assert parts.shape[:3] == persons.shape[:3] == (9, 1, 12)
    assert wanted.tolist() == targets.tolist()


def test_the_strongest_changes_leave_somebody(parses: Path) -> None:
    data = PartClipConfig(str(parses))
    labels = data.learned(data.records())
    clips = data.clips("train", labels, data.records())
    hard = PartViewConfig(
        flip=0.5, speed=3, shortest=0.01, jitter_s=1, drop_frames=1, drop_persons=1, drop_parts=1, drop_states=1, box_noise=1
    )
    views = PartViews(clips, clips.targets(labels), np.arange(2), PartTracksArchitecture(), hard)
    for seed in range(20):
        (found, *_), _ = views[(seed % 8, seed)]
        assert found.person[:, 0].any()
        assert np.isfinite(found.person).all()
        assert not found.parts.any()


def test_clips_without_a_parse_are_told(parses: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = (parses / "labels.csv").read_text()
    (tmp_path / "more.csv").write_text(rows + "\nraise/lost.mp4,raise,val")
    data = PartClipConfig(str(parses), str(tmp_path / "more.csv"))
    labels = data.learned(data.records())
    assert len(data.clips("val", labels, data.records())) == 2
    assert "1 of 3 clips of split 'val' have no parse, the first raise/lost.mp4; left out" in caplog.text
    (tmp_path / "none").mkdir()
    with pytest.raises(
        InputError, match=r"no parse of any clip of split 'val', such as raise4\.mp4\.json; expected those of pipelines\.run"
    ):
        PartClipConfig(str(tmp_path / "none"), str(tmp_path / "more.csv")).clips("val", labels, data.records())


def test_parses_lie_flat_or_in_the_folders_of_their_clips(tmp_path: Path) -> None:
    (tmp_path / "raise").mkdir()
    write_parse(video([player(0, 0.0, 0.5)]), tmp_path / "raise/a.mp4.json")
    write_parse(video([nobody(0)]), tmp_path / "b.mp4.json")
    (tmp_path / "labels.csv").write_text(
        "file,label,split\nraise/a.mp4,raise,train\nlower/b.mp4,lower,train\nraise/b.mp4,raise,val\nb.mp4,lower,val"
    )
    data = PartClipConfig(str(tmp_path))
    clips = data.clips("train", data.learned(data.records()), data.records())
    assert [len(window) for window in clips.windows] == [1, 0]


def test_parses_of_other_parts_are_refused(tmp_path: Path, run: Path) -> None:
    other = replace(VOCABULARY, parts=("hat", *PARTS[1:]), pairs=None)  # type: ignore[arg-type]
    for name, vocabulary in (("a", VOCABULARY), ("b", other)):
        write_parse(video([player(0, 0.0, 0.5)], vocabulary), tmp_path / f"{name}.mp4.json")
    rows = "file,label,split\na.mp4,raise,{0}\nb.mp4,lower,{0}\n"
    (tmp_path / "labels.csv").write_text(rows.format("train") + "a.mp4,lower,val\na.mp4,raise,val")
    data = PartClipConfig(str(tmp_path))
    with pytest.raises(InputError, match=r"b\.mp4\.json and .*a\.mp4\.json differ in their parts: 'hat'"):
        data.clips("train", data.learned(data.records()), data.records())
    (tmp_path / "labels.csv").write_text("file,label,split\nb.mp4,raise,val\nb.mp4,lower,val\na.mp4,raise,train\na.mp4,lower,train")
    training = parse_config(PartActionTraining, settings(tmp_path), "")
    recognizer = PartTracksConfig("part_tracks", str(run / "best.safetensors")).build("cpu")
    with pytest.raises(InputError, match="part_actions: its weights and the pipeline differ in their parts: 'helmet'"):
        training.evaluate(recognizer, device="cpu")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"actions": ["rise"]}, r"no clip to train on of action 'rise'; did you mean 'raise'\?"),
        ({"background": ["walk"]}, r"data\.background: 'walk' is no class"),
        ({"labels": "other.csv"}, r"other\.csv"),
    ],
)
def test_settings_that_do_not_fit(parses: Path, data: dict[str, object], message: str) -> None:
    training = parse_config(PartActionTraining, settings(parses, data={"root": str(parses)} | data), "")
    with pytest.raises(InputError, match=message):
        training.prepare("cpu")


def test_a_resumed_training_does_not_ask_for_what_it_started_from(parses: Path) -> None:
    training = parse_config(PartActionTraining, settings(parses, initial="gone.safetensors"), "")
    training.prepare("cpu", resumed=True)
    with pytest.raises(InputError, match=r"gone\.safetensors"):
        training.prepare("cpu")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lost\.safetensors"):
        PartTracksConfig("part_tracks", str(tmp_path / "lost.safetensors")).build("cpu")
