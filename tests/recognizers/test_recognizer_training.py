import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from builders import ramp, write_clips, write_video

from parsing.configs import parse_config
from parsing.datasets.clips import ClipRecord, read_clip_records, read_csv, trainable_actions
from parsing.errors import InputError
from parsing.learning.experiment import experiment
from parsing.media.video import Video
from parsing.networks.weights import read_header, save_weights
from parsing.types import Array
from recognizers.balance import BalanceConfig
from recognizers.clips.frame_sampling import Dense, Segments
from recognizers.clips.store import ClipStore, kept_frames
from recognizers.clips.test_views import View
from recognizers.clips.training_views import ClipViews, Targets, ViewConfig, collate
from recognizers.labels import ActionLabels
from recognizers.losses import ActionLossConfig
from recognizers.networks.tsm import TSM, TSMArchitecture
from recognizers.scoring import score_clips
from recognizers.task import FreezeNorm, RecognitionTask, mixing
from recognizers.train import RecognizerTraining
from recognizers.video import VideoRecognizer, VideoRecognizerConfig, load_recognizer


def test_clips_are_read_with_their_flags(tmp_path: Path) -> None:
    records = read_csv(write_clips(tmp_path / "c") / "labels.csv")
    assert len(records) == 12
    assert [r.trainable for r in records if r.path.name == "none.mp4"] == [False]
    assert trainable_actions(records) == ("bright", "dark")  # no clip validates "lonely"


@pytest.mark.parametrize(("content", "message"), [("file,split\na,train", "column 'label' is missing"), ("", "column 'file'")])
def test_bad_lists_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_csv(tmp_path / "l.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_csv(tmp_path / "none.csv")


def test_damaged_clips_are_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_clips(tmp_path / "c")
    (root / "dark1.mp4").write_bytes(b"broken")
    records = [r for r in read_csv(root / "labels.csv") if r.labels == ("dark",) and r.trainable]
    store = ClipStore(records, Segments(2), 4, 32, 1)
    with caplog.at_level(logging.WARNING):
        clips = [store[i] for i in (0, 1, 1, 2)]
    assert clips[0] is not None
    assert clips[0].shape == (4, 32, 43, 3)
    assert clips[1] is None
    assert clips[2] is None
    assert caplog.text.count("dark1.mp4") == 1
    assert f"left out (1 of {len(records)} clips so far)" in caplog.text


def test_kept_clips_stay_within_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [r for r in read_csv(write_clips(tmp_path / "c") / "labels.csv") if r.split == "train"]
    store = ClipStore(records, Segments(2), 4, 32, 1)
    frames = store[0]
    assert frames is not None
    store.most_bytes = 2 * frames.nbytes
    for i in (1, 0, 2):  # the second was used longest ago
        store[i]
    decoded: list[Path] = []
    monkeypatch.setattr(store, "_decode", lambda index: decoded.append(records[index].path) or frames)
    assert store[0] is frames
    assert not decoded
    store[1]
    assert decoded == [records[1].path]


class Clips:
    """A store of given clips."""

    def __init__(self, *clips: np.ndarray) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.clips[index]

    def run(self, num_kept: int) -> int:
        return num_kept


def views_of(clip: np.ndarray, sampling: Dense | Segments, size: int, settings: ViewConfig) -> ClipViews:
    targets = Targets(np.array([[0.0, 1.0]]), np.zeros((1, 0)), np.arange(2))
    return ClipViews(Clips(clip), targets, sampling, size, settings)  # type: ignore[arg-type]


def test_long_clips_keep_what_their_sampling_needs() -> None:
    assert kept_frames(5, Segments(2), 8).tolist() == [0, 1, 2, 3, 4]
    assert kept_frames(20, Dense(4), 8).tolist() == list(range(6, 14))
    assert kept_frames(20, Segments(2, snippet=2, step=2), 9).tolist() == [0, 1, 2, 8, 9, 10, 17, 18, 19]
    assert kept_frames(0, Dense(4), 8).tolist() == [0]


def test_views_change_between_seeds_but_not_within_a_clip() -> None:
    views = views_of(np.full((6, 40, 50, 3), 120, np.uint8), Segments(3), 32, ViewConfig())
    pixels, labels, knowledge = views[(0, 1)]  # type: ignore[misc]
    assert pixels.shape == (3, 32, 32, 3)
    assert labels.tolist() == [0, 1]
    assert knowledge.shape == (0,)
    assert np.array_equal(pixels[0], pixels[2])  # the light of a clip does not flicker
    assert np.array_equal(pixels, views[(0, 1)][0])  # type: ignore[index]
    assert not np.array_equal(pixels, views[(0, 2)][0])  # type: ignore[index]


def test_shorter_clips_span_the_same_time() -> None:
    frames = np.zeros((16, 16, 16, 3), np.uint8) + (np.arange(16, dtype=np.uint8) * 10)[:, None, None, None]
    plain = ViewConfig(smallest_crop=1.0, stretch=1.0, flip=0.0, colour=False)
    whole, short = (views_of(frames, Dense(8, 2), 16, plain)[key] for key in ((0, 1), (0, 1, 4, 8)))  # type: ignore[index]
    assert short[0].shape == (4, 8, 8, 3)  # type: ignore[index]
    assert np.diff(whole[0][:, 0, 0, 0].astype(int)).tolist() == [20] * 7  # type: ignore[index]
    assert np.diff(short[0][:, 0, 0, 0].astype(int)).tolist() == [40] * 3  # type: ignore[index]


def test_still_clips_show_one_frame_and_corners_are_corners() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), np.uint8)
    still = views_of(frames, Dense(4), 16, ViewConfig(still=True))
    assert all((clip == clip[:1]).all() for clip in (still[(0, seed)][0] for seed in range(4)))  # type: ignore[index]
    settings = ViewConfig(smallest_crop=0.5, stretch=1.0, corners=True, flip=0.0, colour=False)
    views = views_of(frames, Dense(4), 16, settings)
    places = {views._crop(40, 40, np.random.default_rng(seed)) for seed in range(200)}
    assert places
    for top, left, height, width in places:
        corner = top in (0, 40 - height) and left in (0, 40 - width)
        assert corner or (top, left) == ((40 - height) // 2, (40 - width) // 2)


def test_mirrored_clips_change_their_labels() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), np.uint8)
    targets = Targets(np.array([[1.0, 0.0, 1.0]]), np.array([[0.9, 0.2, 0.6]]), np.array([1, 0, 2]))
    settings = ViewConfig(flip=0.0, colour=False, smallest_crop=1.0, stretch=1.0)
    views = ClipViews(Clips(frames), targets, Dense(4), 40, settings, [(0, False), (0, True)])  # type: ignore[arg-type]
    plain, mirrored = views[(0, 0)], views[(1, 0)]
    assert np.array_equal(plain[0], mirrored[0][:, :, ::-1])  # type: ignore[index]
    assert mirrored[1].tolist() == [0, 1, 1]  # type: ignore[index]
    assert mirrored[2].tolist() == [0.2, 0.9, 0.6]  # type: ignore[index]


def test_batches_go_without_damaged_clips() -> None:
    item = np.zeros((2, 4, 4, 3), np.uint8), np.ones(3, np.float32), np.zeros(0, np.float32)
    clips, labels, knowledge = collate([None, item, None])
    assert clips.shape == (1, 2, 3, 4, 4)
    assert (labels.shape, knowledge.shape) == ((1, 3), (1, 0))
    with pytest.raises(InputError, match="none of the 2 clips of a batch can be read"):
        collate([None, None])


def test_rare_actions_by_hand(caplog: pytest.LogCaptureFixture) -> None:
    holds = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], np.float32)
    assert BalanceConfig(exponent=1.0).weights(holds, [(i, False) for i in range(4)]) == [1, 1, 4, 1]
    assert BalanceConfig(exponent=0.0, repeat_factor=0.5).weights(holds, [(2, False), (0, False)]) is None  # each once an epoch
    found = BalanceConfig(exponent=0.0, repeat_factor=0.64).weights(holds, [(i, False) for i in range(4)])
    assert found == pytest.approx([1, 1, 1.6, 1])
    with caplog.at_level(logging.INFO):
        doubled = BalanceConfig(double_tail=0.3, repeat=2).entries(holds, ("a", "b", "c"))
    assert doubled == [(0, False), (1, False), (2, False), (3, False), (2, True)] * 2
    assert "1 clips of 1 rare actions doubled by mirrored ones: b" in caplog.text


def test_clips_are_reversed_and_mirrored_and_stepped_as_asked() -> None:
    frames = np.zeros((12, 16, 16, 3), np.uint8)
    frames += (np.arange(12, dtype=np.uint8) * 20)[:, None, None, None]
    frames[:, :, 8:] += 9
    plain = ViewConfig(smallest_crop=1.0, stretch=1.0, flip=0.0, colour=False)

    def view(settings: ViewConfig, seed: int = 0) -> np.ndarray:
        return views_of(frames, Dense(4, 3), 16, settings)[(0, seed)][0]  # type: ignore[index]

    first = view(plain)[:, 8, [0, 15], 0].astype(int)
    assert np.diff(first[:, 0]).tolist() == [60, 60, 60]
    assert (first[:, 1] - first[:, 0] == 9).all()
    assert np.array_equal(view(replace(plain, reverse=1.0)), view(plain)[::-1])
    assert np.array_equal(view(replace(plain, flip=1.0)), view(plain)[:, :, ::-1])
    steps = {int(np.diff(view(replace(plain, intervals=(1, 2)), seed)[:2, 8, 0, 0].astype(int))[0]) for seed in range(20)}
    assert steps == {20, 40}


def test_randaugment_treats_all_frames_alike_and_repeats() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (1, 16, 16, 3), np.uint8).repeat(6, 0)
    settings = ViewConfig(smallest_crop=1.0, stretch=1.0, flip=0.0, colour=False, randaugment=2, magnitude=20)
    views = views_of(frames, Dense(4), 16, settings)
    seen = [views[(0, seed)][0] for seed in range(6)]  # type: ignore[index]
    assert all((clip == clip[:1]).all() for clip in seen)
    assert any(not np.array_equal(clip[0], frames[0]) for clip in seen)
    assert np.array_equal(views[(0, 3)][0], seen[3])  # type: ignore[index]


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_clips_are_mixed_in_training_alone(mixup: float, cutmix: float) -> None:
    class Spy(torch.nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            self.seen = clips
            return clips.mean((1, 3, 4))

    clips = torch.stack([torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 255.0)]).to(torch.uint8)
    task = RecognitionTask(Spy(), ActionLossConfig(label_smoothing=0.0), "none", mixing(3, mixup, cutmix))
    torch.manual_seed(0)
    shares = set()
    for _ in range(8):
        task.train()((clips, torch.eye(3)[:2], torch.zeros(2, 0)))
        shares.add(round(float(task.network.seen[0].mean()), 3))  # type: ignore[union-attr, index]
    assert len(shares) > 1
    assert max(shares) > 0.1
    assert type(task.network.seen) is torch.Tensor  # type: ignore[union-attr]
    assert torch.equal(task.network.seen[:, 0], task.network.seen[:, 1])  # type: ignore[union-attr, index]
    task.eval()((clips, torch.eye(3)[:2], torch.zeros(2, 0)))
    assert torch.equal(task.network.seen, clips.float() / 255)  # type: ignore[arg-type]
    assert mixing(3, 0.0, 0.0) is None


def test_frozen_norms_keep_their_statistics() -> None:
    def moved(freeze: FreezeNorm) -> list[bool]:
        torch.manual_seed(0)
        network = TSM(TSMArchitecture("test_resnet", level=2, num_segments=2, input_px=32), 2)
        task = RecognitionTask(network, ActionLossConfig(), freeze).train()
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms]  # type: ignore[union-attr]
        task((torch.randint(0, 255, (2, 2, 3, 32, 32), dtype=torch.uint8), torch.eye(2), torch.zeros(2, 0)))
        return [not torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True)]  # type: ignore[arg-type]

    assert all(moved("none"))
    assert not any(moved("all"))
    assert moved("all_but_first")[0]
    assert not any(moved("all_but_first")[1:])


def test_training_learns_and_evaluates(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    settings = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "snippet": 2, "step": 1, "input_px": 32, "dropout": 0.0},
        "data": {"root": str(root), "short_side_px": 32},
        "balance": {"repeat": 4},
        "fit": {"epochs": 8, "batch_size": 4, "lr": 0.02, "ema_decay": 0.0, "precision": "bf16-mixed"},
        "pretrained": "none",
    }
    torch.manual_seed(0)
    training = parse_config(RecognizerTraining, settings, "t")
    experiment(training, tmp_path / "run", quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["losses"]["action"] < rows[0]["losses"]["action"]
    metrics = training.evaluate(training.component(str(tmp_path / "run/weights.safetensors")).build("cpu"), device="cpu")
    assert metrics["all"]["top1"] == 1
    assert (metrics["all"]["num_videos"], metrics["scene_disjoint"]["num_videos"]) == (2, 1)


SMALL_3D = {
    "slowfast": {"frames": 4, "interval": 1, "depth": 26, "width": 8, "alpha": 2, "beta": 4, "input_px": 32},
    "csn": {"frames": 4, "interval": 1, "depth": 26, "width": 8, "input_px": 32},
    "r2plus1d": {"depth": 18, "frames": 4, "interval": 1, "input_px": 32},
    "mfnet": {"width": 16, "frames": 4, "interval": 1, "input_px": 32},
    "s3d": {"frames": 4, "interval": 1, "input_px": 32},
}


@pytest.mark.parametrize("name", SMALL_3D)
def test_other_networks_train_and_go_on_from_weights(name: str, tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    settings: dict[str, Any] = {
        "name": name,
        "architecture": SMALL_3D[name],
        "data": {"root": str(root), "short_side_px": 32},
        "views": {"reverse": 0.5, "intervals": [1, 2]},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
    }
    experiment(parse_config(RecognizerTraining, settings, "t"), tmp_path / "first", quiet=True)
    weights = str(tmp_path / "first/weights.safetensors")
    again = parse_config(RecognizerTraining, settings | {"initial": weights, "pretrained": "imagenet"}, "t")  # which is not asked for
    experiment(again, tmp_path / "second", quiet=True)
    second = again.component(str(tmp_path / "second/weights.safetensors")).build("cpu")
    assert again.evaluate(second, device="cpu")["all"]["num_videos"] == 2
    parse_config(RecognizerTraining, settings | {"initial": "gone.safetensors"}, "t").prepare("cpu", resumed=True)
    images = parse_config(RecognizerTraining, settings | {"pretrained": "imagenet"}, "t")
    images.prepare("cpu", resumed=True)
    with pytest.raises(InputError, match="no weights of single images"):
        experiment(images, tmp_path / "third", quiet=True)


def test_layers_that_do_not_fit_are_new_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_clips(tmp_path / "c")
    settings: dict[str, Any] = {
        "name": "slowfast",
        "architecture": SMALL_3D["slowfast"],
        "data": {"root": str(root), "short_side_px": 32},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
    }
    experiment(parse_config(RecognizerTraining, settings, "t"), tmp_path / "first", quiet=True)
    wide = settings | {"architecture": SMALL_3D["slowfast"] | {"width": 16}, "initial": str(tmp_path / "first/weights.safetensors")}
    with caplog.at_level(logging.INFO):
        experiment(parse_config(RecognizerTraining, wide, "t"), tmp_path / "second", quiet=True)
    assert [record.message for record in caplog.records if "tensors taken; new: classifier" in record.message]
    training = read_header(str(tmp_path / "second/weights.safetensors"), "slowfast").training
    assert training["initial"] == wide["initial"]


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_clips_come_in_many_forms(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for label in ("run", "walk"):
            touch(tmp_path / split / label / f"{split}_{label}.mp4")
            touch(tmp_path / label / f"v_{label}_{split}.avi")
    folders = read_clip_records("folders", tmp_path, "")
    expected = [("train_run.mp4", "run", "train"), ("train_walk.mp4", "walk", "train")]
    assert [(r.path.name, r.labels[0], r.split) for r in folders][:2] == expected
    (tmp_path / "classes.txt").write_text("run\nwalk\n")
    for split in ("train", "val"):
        (tmp_path / f"kinetics_{split}.txt").write_text(f"run/v_run_{split}.avi 0\nwalk/v_walk_{split}.avi 1\n")
    numbered = read_clip_records("list", tmp_path, "kinetics", "classes.txt")
    (tmp_path / "ucf").mkdir()
    (tmp_path / "ucf/trainlist01.txt").write_text("run/v_run_train.avi 1\nwalk/v_walk_train.avi 2\n")
    (tmp_path / "ucf/testlist01.txt").write_text("run/v_run_val.avi\nwalk/v_walk_val.avi\n")
    (tmp_path / "hmdb").mkdir()
    for label in ("run", "walk"):
        (tmp_path / f"hmdb/{label}_test_split1.txt").write_text(f"v_{label}_train.avi 1 \nv_{label}_val.avi 2 \nunused.avi 0 \n")
    wanted = {(f"v_{label}_{split}.avi", label, split) for label in ("run", "walk") for split in ("train", "val")}
    for records in (numbered, read_clip_records("ucf101", tmp_path, "ucf:1"), read_clip_records("hmdb51", tmp_path, "hmdb:1")):
        assert {(r.path.name, r.labels[0], r.split) for r in records} == wanted


def test_bad_lists_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("run\n")
    (tmp_path / "k_val.txt").write_text("")
    for line, message in (
        ("a.mp4,0", r"k_train\.txt: line 1: 'a\.mp4,0', expected a path, a space and the number"),
        ("a.mp4 1", "class 1, but there are 1, counted from 0"),
        ("a.mp4 0", r"1 of 1 clips are not there, the first .*a\.mp4"),
    ):
        (tmp_path / "k_train.txt").write_text(line)
        with pytest.raises(InputError, match=message):
            read_clip_records("list", tmp_path, "k", "classes.txt")
    with pytest.raises(InputError, match="expected <class>/ with videos, or train/<class>/ and val/<class>/"):
        read_clip_records("folders", tmp_path, "")
    (tmp_path / "train/run").mkdir(parents=True)
    with pytest.raises(InputError, match="no folder 'val'"):
        read_clip_records("folders", tmp_path, "")
    (tmp_path / "val").mkdir()
    with pytest.raises(InputError, match="class without a clip"):
        read_clip_records("folders", tmp_path, "")
    with pytest.raises(InputError, match="a colon and the split's number"):
        read_clip_records("ucf101", tmp_path, "ucf")
    (tmp_path / "l.csv").write_text("file,label,split\na.mp4;run;train\n")
    with pytest.raises(InputError, match=r"l\.csv: line 2: expected file, label, split, separated as in the first line"):
        read_clip_records("csv", tmp_path, "l.csv")


def test_actions_without_clips_are_named(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "name": "slowfast",
        "architecture": SMALL_3D["slowfast"],
        "data": {"root": str(write_clips(tmp_path / "c")), "actions": ["dark", "brihgt"]},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01},
    }
    with pytest.raises(InputError, match="no clip to train on of action 'brihgt'; did you mean 'bright'"):
        experiment(parse_config(RecognizerTraining, settings, "t"), tmp_path / "run", quiet=True)


def test_workers_share_what_they_know_of_damaged_clips(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    (root / "dark1.mp4").write_bytes(b"broken")
    records = [r for r in read_csv(root / "labels.csv") if r.labels == ("dark",) and r.trainable]
    store = ClipStore(records, Segments(2), 4, 32, 1)
    loader: Any = torch.utils.data.DataLoader(store, batch_size=None, num_workers=2)  # type: ignore[arg-type]
    assert [clip is None for clip in loader] == [False, True, False, False, False]
    assert store.damaged.tolist() == [False, True, False, False, False]


def test_clips_that_are_loaded_are_kept_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_clips(tmp_path / "c")
    (root / "dark1.mp4").write_bytes(b"broken")
    records = [r for r in read_csv(root / "labels.csv") if r.labels == ("dark",) and r.trainable]
    whole, bounded = (ClipStore(records, Segments(2), 4, 32, 1) for _ in range(2))
    bounded.most_bytes = 3 * 4 * 32 * 43 * 3  # of three clips
    whole.load()
    bounded.load()
    decoded: list[int] = []

    def decode(_: ClipStore, index: int) -> Array:
        decoded.append(index)
        return np.zeros((4, 32, 43, 3), np.uint8)

    monkeypatch.setattr(ClipStore, "_decode", decode)
    assert [whole[i] is None for i in range(5)] == [False, True, False, False, False]
    assert decoded == []
    assert all(bounded[i] is not None for i in (0, 2, 3, 4, 4))
    assert decoded == [4, 4]


def test_frames_that_cannot_be_decoded_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records = read_csv(write_clips(tmp_path / "c") / "labels.csv")
    monkeypatch.setattr(Video, "num_frames", 8)  # of which the file holds 6
    store = ClipStore(records, Segments(2), 16, 32, 1)
    for _ in range(2):
        assert len(store._decode(0)) == 8
    assert caplog.messages == [f"{records[0].path}: damaged: 2 of 8 frames cannot be decoded; the nearest stand for them"]


@pytest.mark.parametrize("num_frames", [6, 9, 10, 40])
def test_snippets_of_long_clips_are_neighbours_as_in_testing(tmp_path: Path, num_frames: int) -> None:
    sampling = Segments(3, snippet=2, step=2)
    path = write_video(tmp_path / "v.mp4", [ramp(0)] * num_frames)
    store = ClipStore([ClipRecord(path, ("a",), "train")], sampling, 9, 32, 1)
    kept = kept_frames(num_frames, sampling, 9)
    frames = np.zeros((len(kept), 16, 16, 3), np.uint8) + kept.astype(np.uint8)[:, None, None, None] * 5
    store._keep(0, frames)
    targets = Targets(np.ones((1, 1)), np.zeros((1, 0)), np.arange(1))
    views = ClipViews(store, targets, sampling, 16, ViewConfig(smallest_crop=1.0, stretch=1.0, flip=0.0, colour=False))
    for seed in range(30):
        shown = views[(0, seed)][0][:, 0, 0, 0].astype(int) // 5  # type: ignore[index]
        assert (shown[1::2] - shown[::2] == 2).all()


@pytest.mark.parametrize("side", [9, 40])
def test_training_enlarges_and_shrinks_as_testing_does(side: int) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, side, side, 3), np.uint8)
    views = views_of(frames, Dense(4), 32, ViewConfig(smallest_crop=1.0, stretch=1.0, flip=0.0, colour=False))
    assert np.array_equal(views[(0, 0)][0], View(crop="whole").pixels(list(frames), 32))  # type: ignore[index]


def test_what_a_teacher_said_is_mixed_with_the_clips() -> None:
    class Spy(torch.nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            self.shares = clips[:, 0, 0].mean((1, 2))  # of the bright clip
            return torch.zeros(len(clips), 2)

    clips = torch.stack([torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 255.0)]).to(torch.uint8)
    spy = Spy()
    task = RecognitionTask(spy, ActionLossConfig("bce"), "none", mixing(4, 1.0, 0.0), alpha=0.5).train()
    torch.manual_seed(0)
    losses = task((clips, torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 1.0]])))
    expected = 0.5 * ((spy.shares - 0.5).square().mean() + 0.25) / 2
    assert float(losses["distillation"]) == pytest.approx(float(expected), abs=1e-5)


def test_clips_that_are_not_used_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_clips(tmp_path / "c")
    (root / "more.mp4").write_bytes((root / "dark0.mp4").read_bytes())
    with (root / "labels.csv").open("a") as file:
        file.write("\nmore.mp4,dark,Testing,yes,yes")
    settings: dict[str, Any] = {
        "name": "slowfast",
        "architecture": SMALL_3D["slowfast"],
        "data": {"root": str(root), "actions": ["dark", "bright"]},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01},
    }
    labels = ActionLabels(("bright", "dark"))
    with caplog.at_level(logging.INFO):
        assert len(parse_config(RecognizerTraining, settings, "t").data.split_records("train", labels)) == 8
        many = parse_config(RecognizerTraining, settings | {"loss": {"kind": "bce"}}, "t")
        assert len(many.data.split_records("train", replace(labels, multi_label=True))) == 9
    for line in (
        "1 clips of other splits are not used: test",
        "1 of 10 clips of split 'train' are not for weights that are shipped; left out",
        "1 of 9 clips of split 'train' have no action that is learned; left out",
        "1 of 9 clips of split 'train' have no action that is learned; they count as clips of no action",
    ):
        assert line in caplog.text
    nothing = parse_config(RecognizerTraining, settings | {"distillation": {"alpha": 0.5}}, "t")
    with pytest.raises(InputError, match=r"distillation\.scores: none given"):
        experiment(nothing, tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="no clip of split 'val' with an action that is learned"):
        parse_config(RecognizerTraining, settings, "t").data.split_records("val", ActionLabels(("lonely",)))


def test_recognizers_look_as_their_training_did(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    settings: dict[str, Any] = {
        "name": "slowfast",
        "architecture": SMALL_3D["slowfast"],
        "data": {"root": str(root), "short_side_px": 32},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
        "crop": "whole",
        "num_clips": 3,
        "keep_epochs": 1,
    }
    (tmp_path / "run/epochs").mkdir(parents=True)
    (tmp_path / "run/epochs/epoch_30.safetensors").write_bytes(b"of another run")
    experiment(parse_config(RecognizerTraining, settings, "t"), tmp_path / "run", quiet=True)
    assert [path.name for path in (tmp_path / "run/epochs").iterdir()] == ["epoch_1.safetensors"]
    weights = str(tmp_path / "run/weights.safetensors")
    assert VideoRecognizerConfig("slowfast", weights).build("cpu").views == (View(clips=3, crop="whole"),)
    told = VideoRecognizerConfig("slowfast", weights, views=(View(flip=True),)).build("cpu")
    assert told.views == (View(flip=True),)
    header = read_header(weights, "slowfast")
    network, _, _ = load_recognizer("slowfast", weights, "cpu")
    for views in ([{"clip": 3}], 3):
        save_weights(network, tmp_path / "odd.safetensors", replace(header, training={"views": views}))
        with pytest.raises(InputError, match=r"odd\.safetensors: views: "):
            VideoRecognizerConfig("slowfast", str(tmp_path / "odd.safetensors")).build("cpu")


def test_files_without_a_frame_are_left_out_of_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_clips(tmp_path / "c")
    with av.open(str(root / "empty.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        container.start_encoding()
    network = TSM(TSMArchitecture("test_resnet", level=2, num_segments=2, input_px=32), 2).eval()
    stage = VideoRecognizer(network, network.architecture, ActionLabels(("bright", "dark")), "cpu")
    records = [ClipRecord(root / name, ("dark",), "val") for name in ("empty.avi", "dark0.mp4")]
    assert score_clips(stage, records, "tsm").videos.tolist() == ["c/dark0.mp4"]
    assert "empty.avi: holds no frame; left out" in caplog.text
