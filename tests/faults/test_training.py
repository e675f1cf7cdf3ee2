"""What goes wrong with memory and with run folders: a table of cases and of the one line that each ends in."""

from __future__ import annotations

import dataclasses
import importlib
import os
import resource
import signal
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from builders import frame
from torch import Tensor, nn

from parsing.batching import BatchSize
from parsing.errors import InputError
from parsing.files import naming_full_disk
from parsing.learning.fit import FitConfig, fit
from parsing.learning.runs import RunFolder
from parsing.types import Array, Detections, ModelFacts
from pipelines.parse.config import read_pipeline
from pipelines.stages import STAGES
from pipelines.trainings import training_config
from recognizers.superres.chunks import Chunking
from recognizers.superres.resolver import SuperResolver

# --- memory -----------------------------------------------------------------------------------------------------


def limit(function: Callable[..., Any], most: int) -> Callable[..., Any]:
    """The same, for a machine whose memory holds so many rows of the first argument."""

    def limited(batch: Tensor, *others: Any) -> Any:
        if len(batch) > most:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {len(batch)} rows")
        return function(batch, *others)

    return limited


def crowd(num_persons: int) -> Detections:
    left = np.linspace(0, 200, num_persons)
    boxes = np.stack([left, left / 2, left + 90, left / 2 + 120], 1).astype(np.float32)
    return Detections(boxes, np.ones(num_persons), np.zeros(num_persons))


def columns(values: Sequence[Any]) -> list[Array]:
    return [np.asarray(getattr(value, field.name)) for value in values for field in dataclasses.fields(value) if field.name != "track_ids"]


def noise(index: int) -> Any:
    shown = np.random.default_rng(index).integers(0, 255, (240, 320, 3), np.uint8)
    return dataclasses.replace(frame(index), image=shown)


STAGE_CALLS: dict[str, tuple[str, Callable[[Any], list[Array]]]] = {
    "person_detector": ("candidates", lambda stage: columns(stage([noise(i) for i in range(7)]))),
    "part_detector": ("candidates", lambda stage: columns(stage([noise(0)], [crowd(7)]))),
    "recognizers": ("forward", lambda stage: [stage.logits([[noise(i)] * 2 for i in range(7)])]),
}


def stage_of(name: str, tiny_pipeline: Path) -> Any:
    settings = read_pipeline(str(tiny_pipeline), ["recognizers.0.views=[{clips: 7}]"])
    return (settings.recognizers[0].recognizer if name == "recognizers" else getattr(settings, name)).build("cpu")


@pytest.mark.parametrize("name", STAGE_CALLS)
def test_a_stage_halves_its_batches_with_the_same_result(name: str, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method, call = STAGE_CALLS[name]
    stage = stage_of(name, tiny_pipeline)
    stage.batches = BatchSize(name, 7)
    whole = call(stage)
    monkeypatch.setattr(stage.network, method, limit(getattr(stage.network, method), 2))
    halved = call(stage)
    assert stage.batches.most == 1  # 7, 3, 1
    assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(whole, halved, strict=True))
    monkeypatch.setattr(stage.network, method, limit(getattr(stage.network, method), 0))
    with pytest.raises(InputError, match=r"^\w+: out of memory with 1 at a time"):
        call(stage)


def test_part_states_halve_their_batches_with_the_same_result(tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, persons = stage_of("part_states", tiny_pipeline), crowd(7)
    parts = stage_of("part_detector", tiny_pipeline)([noise(0)], [persons])
    whole = stage([noise(0)], [persons], parts, None)[0].scores
    monkeypatch.setattr(stage.network, "forward", limit(stage.network.forward, 2))
    assert np.allclose(whole, stage([noise(0)], [persons], parts, None)[0].scores, atol=1e-5)
    assert whole.any()
    assert stage.batches.most == 1


def test_super_resolution_takes_smaller_tiles_with_the_same_result() -> None:
    sides = []

    def double(frames: Array) -> Array:
        sides.append(max(frames.shape[1:3]))
        if sides[-1] > 20:
            raise MemoryError
        return frames.repeat(2, 1).repeat(2, 2)

    clip = np.random.default_rng(0).integers(0, 255, (3, 40, 70, 3), np.uint8)
    resolver = SuperResolver(double, 2, ModelFacts("super_resolution", "nearest", None, "{}"), Chunking(tile_px=192))
    assert np.array_equal(resolver(clip), clip.repeat(2, 1).repeat(2, 2))
    assert sides[:3] == [70, 35, 17]
    assert max(sides[3:]) == 17


# --- a small training -------------------------------------------------------------------------------------------


class Points:
    def __len__(self) -> int:
        return 6

    def __getitem__(self, key: tuple[int, int]) -> tuple[float, float]:
        return float(key[0]), 2.0 * key[0]


class Line(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.Linear(width, 1))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"square": (self.layers(batch[:, :1]) - batch[:, 1:]).pow(2).mean()}


def collate(items: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(items)


def train(out: Path, *, resume: bool = False, data: Any = None, task: nn.Module | None = None, **changed: Any) -> None:
    torch.manual_seed(0)
    config = {"data": {"root": changed.pop("root", "here")}}
    fields: dict[str, Any] = {"epochs": 1, "batch_size": 3, "lr": 0.01, **changed}
    run = RunFolder(out, config, resume)
    for epoch in fit(task or Line(), data or Points(), collate, FitConfig(**fields), run, resume=resume, quiet=True):
        run.append_metrics({"epoch": epoch.number, "all": {"AP": 0.5}})


def pickled(_: bytes) -> bytes:
    return b"cos\nsystem\n(S'touch stolen'\ntR."


WHAT_TO_DO = r"; put a whole copy in its place, or start a new run without --resume$"
DAMAGES = [
    ("state.pt", lambda _: b"", r"state\.pt: is empty" + WHAT_TO_DO),
    ("state.pt", lambda _: b"epoch 3, loss 0.1\n" * 9, r"state\.pt: is no state of a training" + WHAT_TO_DO),
    ("state.pt", pickled, r"state\.pt: is no state of a training" + WHAT_TO_DO),
    ("state.pt", lambda old: old[: len(old) // 2], r"state\.pt: is cut or damaged" + WHAT_TO_DO),
    ("state.pt", lambda old: old[:-20], r"state\.pt: is cut or damaged" + WHAT_TO_DO),
    ("metrics.jsonl", lambda old: old + old[:9], r"metrics\.jsonl: line 2: not the figures of an epoch; take the line out"),
    ("metrics.jsonl", lambda old: b"\xff\xfe" + old, r"metrics\.jsonl: line 1: not the figures"),
    ("metrics.jsonl", lambda _: b"[1]\n", r"metrics\.jsonl: line 1: not the figures"),
    ("metrics.jsonl", lambda _: b"[" * 100_000, r"metrics\.jsonl: line 1: not the figures"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_a_damaged_run_is_not_resumed(tmp_path: Path, name: str, damage: Callable[[bytes], bytes], message: str) -> None:
    train(tmp_path)
    damaged = damage((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(damaged)
    config = (tmp_path / "config.json").read_bytes()
    with pytest.raises(InputError, match=message):
        train(tmp_path, resume=True, epochs=2)
    assert (tmp_path / name).read_bytes() == damaged
    assert (tmp_path / "config.json").read_bytes() == config
    assert not Path("stolen").exists()


@pytest.mark.parametrize("value", [[1], {"epoch": 1}, {"facts": {}, "epoch": "1"}, {"facts": {}, "epoch": -1}, torch.zeros(3)])
def test_a_state_of_something_else_is_not_resumed(tmp_path: Path, value: Any) -> None:
    train(tmp_path)
    torch.save(value, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt: is no state of a training"):
        train(tmp_path, resume=True)


class More(Points):
    def __len__(self) -> int:
        return 9


OTHER_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"root": "there"}, r'data\.root "here", now "there"; restore them, or start a new run without --resume'),
    (
        {"lr": 0.1, "seed": 3, "ema_decay": 0.0, "optimizer": "sgd"},
        r"fit\.ema_decay .* fit\.lr 0\.01, now 0\.1, fit\.optimizer .* and 1 more",
    ),
    ({"data": More()}, r"items 6, now 9"),
    ({"task": Line(5)}, "of another network; restore the network's settings"),
]


@pytest.mark.parametrize(("changed", "message"), OTHER_RUNS)
def test_another_run_is_not_resumed(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    train(tmp_path)
    config = (tmp_path / "config.json").read_bytes()
    with pytest.raises(InputError, match=message):
        train(tmp_path, resume=True, **changed)
    assert (tmp_path / "config.json").read_bytes() == config


def test_nothing_is_made_for_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume from"):
        train(tmp_path / "typo", resume=True)
    assert not (tmp_path / "typo").exists()


# --- several processes ------------------------------------------------------------------------------------------

HOLD = "import sys, time\nfrom pathlib import Path\nfrom parsing.learning.runs import RunFolder\n"
HOLD += "run = RunFolder(Path(sys.argv[1]), {})\nprint('held', flush=True)\ntime.sleep(600)"


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that trains into the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    (tmp_path / "state.pt").write_text("of the first")
    for resume in (False, True):
        with pytest.raises(InputError, match=f"process {holder.pid} trains into this folder; choose another --out"):
            train(tmp_path, resume=resume)
    assert (tmp_path / "state.pt").read_text() == "of the first"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    train(tmp_path)  # the dead hold nothing


class Deadly(Points):
    """Its readers are killed, as they are where memory runs out."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[float, float]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_dead_worker_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^fit\.num_workers 1: a process that reads the data died.*; expected fewer, or 0$"):
        train(tmp_path, data=Deadly(), num_workers=1)


class Greedy(Line):
    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"square": torch.empty(10**15).sum() + batch.sum()}


def test_memory_that_does_not_hold_a_step_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^fit\.batch_size 3: out of memory; expected a smaller one"):
        train(tmp_path, task=Greedy())


# --- a full disk ------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_with_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage if folder == tmp_path else None)
    told = pytest.raises(OSError, match=r"No space left on device: it needs about 3\.5 MB, 1 MB are free, 2\.5 MB are missing")
    with told as caught, naming_full_disk(tmp_path / "state.pt", 3_500_000), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"state")
    assert caught.value.filename == str(tmp_path / "state.pt")
    with pytest.raises(FileNotFoundError), naming_full_disk(tmp_path / "state.pt", 3_500_000):
        (tmp_path / "nowhere").read_bytes()


@pytest.mark.parametrize(("name", "num_bytes"), [("state.pt", 300_000), ("config.json", 4)])
def test_what_does_not_fit_leaves_the_file_before(tmp_path: Path, name: str, num_bytes: int) -> None:
    """A limit on the size of files ends a write as a full disk does, half way."""
    train(tmp_path, task=Line(30_000))
    before = (tmp_path / name).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        with pytest.raises(OSError, match="File too large: it needs about") as caught:
            train(tmp_path, resume=True, task=Line(30_000), epochs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert not list(tmp_path.glob("*.part*"))


# --- settings ---------------------------------------------------------------------------------------------------

FIT = {"epochs": 2, "batch_size": 2, "lr": 0.01}
PERSONS = {"name": "gfl", "target": "persons", "architecture": {"class_names": ["person"]}, "data": {"root": "here"}, "fit": FIT}
BAD_FIT = [
    ("epochs", 0), ("epochs", -1), ("epochs", 10**9), ("epochs", 1.5), ("batch_size", 0), ("batch_size", -4), ("lr", 0.0), ("lr", -0.1),
    ("lr", float("nan")), ("lr", float("inf")), ("momentum", 1.0), ("momentum", -0.1), ("cycles", 0), ("schedule", ""), ("schedule", None),
    ("accumulate", 0), ("weight_decay", -1e-9), ("weight_decay", float("nan")), ("warmup", -0.1), ("warmup", 1.1), ("warmup", float("nan")),
    ("backbone_lr_scale", -1.0), ("layer_decay", 0.0), ("layer_decay", 1.1), ("clip_grad", 0.0), ("clip_grad", float("nan")),
    ("ema_decay", 1.0), ("ema_decay", -0.5), ("seed", -1), ("seed", 2**32), ("num_workers", -1), ("num_workers", 10**6), ("log_every", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_FIT)
def test_settings_out_of_bounds_are_named(name: str, value: Any) -> None:
    training_config("person_detector", PERSONS, "c.yaml")
    with pytest.raises(InputError, match=rf"^c\.yaml: fit\.{name}: .*\(found .*\)$"):
        training_config("person_detector", {**PERSONS, "fit": FIT | {name: value}}, "c.yaml")


def test_the_command_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    settings = "name: gfl, target: persons, architecture: {class_names: [person]}, data: {root: here}"
    config.write_text(f"{{{settings}, fit: {{epochs: 2, batch_size: 0, lr: .nan}}}}")
    command = [sys.executable, "-m", "pipelines.train", "person_detector", "--config", str(config), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"error: {config}: fit.batch_size: Input should be greater than or equal to 1 (found 0)"]
    assert not (tmp_path / "run").exists()


def numbers_of(kind: Any, name: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """Every type of a number inside of a type, with what it is called."""
    if dataclasses.is_dataclass(kind):
        if kind not in seen:
            seen.add(kind)
            hints = typing.get_type_hints(kind, include_extras=True)
            for field in dataclasses.fields(kind):
                yield from numbers_of(hints[field.name], f"{kind.__module__}.{kind.__name__}.{field.name}", seen)
    elif typing.get_origin(kind) is typing.Annotated or kind in (int, float):
        yield name, kind
    else:
        for inner in typing.get_args(kind):
            yield from numbers_of(inner, name, seen)


def all_numbers() -> list[tuple[str, Any]]:
    seen: set[Any] = set()
    classes = [target.partition(":")[::2] for target in STAGES.values()]
    return [found for module, name in classes for found in numbers_of(getattr(importlib.import_module(module), name), "", seen)]


def test_every_number_of_a_training_has_bounds() -> None:
    numbers = all_numbers()
    assert len(numbers) > 80
    settings = pydantic.ConfigDict(allow_inf_nan=False)  # as `config` has it, which the next test makes sure of
    open_ended = []
    for name, kind in numbers:
        base = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
        if base not in (int, float):
            continue
        try:
            pydantic.TypeAdapter(kind, config=settings).validate_python(-(10**9))
            open_ended.append(name)
        except pydantic.ValidationError:
            pass
    assert open_ended == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_config_takes_what_is_no_number(value: float) -> None:
    with pytest.raises(InputError, match="finite number"):
        training_config("person_detector", {**PERSONS, "data": {"root": "here", "rotation_deg": value}}, "c.yaml")
    with pytest.raises(InputError, match="finite number"):
        training_config("person_detector", {**PERSONS, "data": {"root": "here", "source_weights": {"web": value}}}, "c.yaml")


def test_sources_that_are_never_drawn_are_refused() -> None:
    from detectors.sampling import item_weights

    with pytest.raises(InputError, match="source_weights: 0 for every item to train on, expected one above"):
        item_weights([["person"]] * 3, "uniform", [0.0, 0.0, 0.0])
