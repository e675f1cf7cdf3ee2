import importlib
import json
import os
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from seeded import seeded_image

from parsing.configs import parse_config, resolve
from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.types import ModelFacts
from recognizers.superres import SUPER_RESOLVERS
from recognizers.superres.cache import ArrayCache, key_of
from recognizers.superres.chunks import Chunking, spans
from recognizers.superres.networks import NetworkName, parse_architecture
from recognizers.superres.resolver import SuperResolver, as_clip, needed_frames, rows, upscale_some

FACTS = ModelFacts("super_resolution", "test", None, "{}")
SMALL: dict[str, Any] = {"scale": 2, "channels": 6, "blocks": 1, "hr_channels": 4, "flow_levels": 2, "flow_channels": [4, 4]}
WHOLE = Chunking(chunk_frames=1000, overlap_frames=0, tile_px=1000, tile_overlap_px=0)


def moving(frames: int, size: int = 24) -> np.ndarray:
    """(frames, size, size, 3) uint8 of a rough picture that drifts."""
    noise = np.random.default_rng(0).normal(128, 150, (size + frames, size + frames, 3))
    picture = cv2.GaussianBlur(noise, (0, 0), 1.5).clip(0, 255).astype(np.uint8)
    return np.stack([picture[t : t + size, t : t + size] for t in range(frames)])


def write_weights(path: Path, name: NetworkName = "basicvsr", **changes: Any) -> str:
    """Of a network that is new, but in which much depends on neighbouring frames and pixels, as in a trained one."""
    torch.manual_seed(0)
    architecture = parse_architecture(name, SMALL | changes, "test")
    network = architecture.build()
    for key, values in network.named_parameters():
        if not values.any():
            torch.nn.init.normal_(values, 0, 0.3)  # the last layers of flow
        elif ".blocks." in key or key.startswith(("fusion", "last")):
            values.data *= 10
    save_weights(network, path, WeightsHeader(name, asdict(architecture), {}))
    return str(path)


def build(settings: dict[str, Any]) -> SuperResolver:
    stage = resolve(SUPER_RESOLVERS, settings, "super_resolution").build("cpu")
    assert isinstance(stage, SuperResolver)
    return stage


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_weights(tmp_path_factory.mktemp("weights") / "w.safetensors")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 3), (9, 9)])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("name", ["bicubic", "basicvsr", "realbasicvsr"])
def test_the_smallest_videos_are_enlarged(name: str, frames: int, size: tuple[int, int], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"name": name, "scale": 2}
    if name == "basicvsr":
        settings["weights"] = write_weights(tmp_path / "w.safetensors")
    if name == "realbasicvsr":
        settings["weights"] = write_weights(tmp_path / "w.safetensors", name, cleaning_blocks=1)
    stage = build(settings)
    found = stage(np.stack([seeded_image(*size)] * frames))
    assert found.shape == (frames, 2 * size[0], 2 * size[1], 3)
    assert found.dtype == np.uint8
    assert stage.scale == 2
    assert (stage.facts.stage, stage.facts.name) == ("super_resolution", name)
    assert json.loads(stage.facts.config)["name"] == name


def test_bicubic_is_opencvs() -> None:
    frames = moving(2)
    expected = np.stack([cv2.resize(image, (96, 96), interpolation=cv2.INTER_CUBIC) for image in frames])
    assert np.array_equal(build({"name": "bicubic", "scale": 4})(frames), expected)


def test_no_frames_give_none(weights: str) -> None:
    assert build({"name": "basicvsr", "weights": weights})(np.empty((0, 5, 7, 3), np.uint8)).shape == (0, 10, 14, 3)


def test_pieces_cover_everything_once() -> None:
    for length in range(1, 40):
        for size, overlap in ((1, 0), (4, 0), (5, 2), (7, 6)):
            pieces = spans(length, size, overlap)
            assert [i for p in pieces for i in range(p.keep_start, p.keep_stop)] == list(range(length))
            assert all(p.start <= p.keep_start < p.keep_stop <= p.stop and p.stop - p.start == min(size, length) for p in pieces)
            assert all(a.stop - b.start >= overlap for a, b in pairwise(pieces))
    assert spans(10, 6, 2) == [(0, 6, 0, 5), (4, 10, 5, 10)]


def test_chunks_of_time_equal_the_whole_away_from_seams(weights: str) -> None:
    frames = moving(20)
    whole = build({"name": "basicvsr", "weights": weights, "cut": asdict(WHOLE)})(frames)
    cut = asdict(WHOLE) | {"chunk_frames": 12, "overlap_frames": 4}
    stage = build({"name": "basicvsr", "weights": weights, "cut": cut})
    found = stage(frames)  # pieces 0 to 12 and 8 to 20, used up to frame 10
    off = np.abs(found.astype(int) - whole).max((1, 2, 3))
    assert (off[:4] <= 1).all()
    assert (off[16:] <= 1).all()
    assert np.array_equal(np.concatenate(list(stage.parts(frames))), found)
    apart = build({"name": "basicvsr", "weights": weights, "cut": cut | {"chunk_frames": 10, "overlap_frames": 0}})(frames)
    assert np.abs(apart.astype(int) - whole).mean() > 2 * np.abs(found.astype(int) - whole).mean()


def test_tiles_equal_the_whole_away_from_seams(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors", flow="none")  # flow looks at the whole picture
    frames = moving(3, 64)[:, :, :50]
    whole = build({"name": "basicvsr", "weights": path, "cut": asdict(WHOLE)})(frames)
    # Four convolutions a frame and the upsampling's: nothing reaches further than 16 px through three frames.
    found = build({"name": "basicvsr", "weights": path, "cut": asdict(WHOLE) | {"tile_px": 40, "tile_overlap_px": 34}})(frames)
    off = np.abs(found.astype(int) - whole)
    assert off.max() <= 1  # sums are rounded in another order
    assert off.mean() < 1e-3
    narrow = build({"name": "basicvsr", "weights": path, "cut": asdict(WHOLE) | {"tile_px": 32, "tile_overlap_px": 0}})(frames)
    off = np.abs(narrow.astype(int) - whole).max((0, 3))
    assert off.max() > 10
    assert (off[:8, :8] <= 1).all()


def test_no_piece_is_larger_than_asked() -> None:
    seen: list[tuple[int, ...]] = []

    def run(frames: np.ndarray) -> np.ndarray:
        seen.append(frames.shape[:3])
        return frames.repeat(2, 1).repeat(2, 2)

    frames = moving(11, 20)
    found = SuperResolver(run, 2, FACTS, Chunking(chunk_frames=4, overlap_frames=2, tile_px=12, tile_overlap_px=4))(frames)
    assert np.array_equal(found, frames.repeat(2, 1).repeat(2, 2))
    assert max(seen) == (4, 12, 12)


def test_only_wanted_frames_and_their_neighbours_are_computed(weights: str) -> None:
    frames = moving(30)
    stage = build({"name": "basicvsr", "weights": weights, "reach": 5, "cut": asdict(WHOLE)})
    wanted = [2, 17, 18, 17]
    needed = needed_frames(wanted, len(frames), stage.reach)
    assert needed == [*range(8), *range(12, 24)]
    computed: list[int] = []
    run = stage.run

    def counted(clip: np.ndarray) -> np.ndarray:
        computed.append(len(clip))
        return run(clip)

    whole = stage(frames)
    stage.run = counted
    found = upscale_some(stage, {index: frames[index] for index in needed}, wanted)
    assert sorted(found) == [2, 17, 18]
    assert computed == [8, 12]
    near = np.mean([np.abs(found[index].astype(int) - whole[index]).mean() for index in found])
    stage.reach = 0
    alone = upscale_some(stage, dict(enumerate(frames)), wanted)
    far = np.mean([np.abs(alone[index].astype(int) - whole[index]).mean() for index in found])
    assert near < 0.1
    assert far > 20 * near
    computed.clear()
    stage.reach = 4
    upscale_some(stage, dict(enumerate(frames)), [29])  # more than is needed may be given
    assert computed == [5]
    assert upscale_some(stage, {}, []) == {}


def test_runs_of_indices() -> None:
    assert rows([1, 2, 3, 7, 9, 10]) == [range(1, 4), range(7, 8), range(9, 11)]
    assert rows([]) == []


def test_frames_that_fit_no_clip_are_named(weights: str) -> None:
    stage = build({"name": "basicvsr", "weights": weights})
    with pytest.raises(InputError, match=r"^frame 1: size 5 x 4, expected 6 x 4 as of the first frame$"):
        as_clip([np.zeros((4, 6, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(InputError, match="frame 1: size 5 x 4"):
        upscale_some(stage, {0: np.zeros((4, 6, 3), np.uint8), 1: np.zeros((4, 5, 3), np.uint8)}, [0])
    with pytest.raises(InputError, match="frame 8 is wanted but not given; given are 0 frames"):
        upscale_some(stage, {}, [8])
    with pytest.raises(InputError, match=r"frames: float64 of shape \(2, 3, 3, 3\), expected uint8"):
        stage(np.zeros((2, 3, 3, 3)))
    with pytest.raises(InputError, match=r"frames: uint8 of shape \(3, 3, 3\), expected uint8 of shape \(frames, height, width, 3\)"):
        stage(np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match=r"shape \(2, 0, 3, 3\), expected at least 1 x 1 pixel"):
        stage(np.zeros((2, 0, 3, 3), np.uint8))


def test_weights_of_another_scale_or_network_are_refused(weights: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"w\.safetensors: weights enlarge 2 times, but the config says scale 4$"):
        build({"name": "basicvsr", "weights": weights, "scale": 4})
    with pytest.raises(InputError, match=r"w\.safetensors: weights of 'basicvsr', expected 'realbasicvsr'"):
        build({"name": "realbasicvsr", "weights": weights})
    with pytest.raises(InputError, match=r"none\.safetensors: weights not found"):
        build({"name": "basicvsr", "weights": str(tmp_path / "none.safetensors")})
    with pytest.raises(InputError, match="basicvsr: overlap_frames 5, expected less than chunk_frames, which is 5"):
        build({"name": "basicvsr", "weights": weights, "cut": {"chunk_frames": 5, "overlap_frames": 5}})
    with pytest.raises(InputError, match="unknown name 'bicubik'; did you mean 'bicubic'"):
        resolve(SUPER_RESOLVERS, {"name": "bicubik"}, "super_resolution")


def test_results_are_kept_and_found_again(weights: str, tmp_path: Path) -> None:
    settings = {"name": "basicvsr", "weights": weights, "cache": {"folder": str(tmp_path / "cache")}}
    frames = moving(4)
    first = build(settings)(frames)
    again = build(settings)
    again.run = pytest.fail
    assert np.array_equal(again(frames), first)
    other = build(settings | {"weights": write_weights(tmp_path / "other.safetensors", channels=8)})
    assert not np.array_equal(other(frames), first)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    build(settings)(frames[:3])
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_a_damaged_result_is_made_anew(weights: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"name": "basicvsr", "weights": weights, "cache": {"folder": str(tmp_path)}}
    first = build(settings)(moving(2))
    (path,) = tmp_path.iterdir()
    for damage in (path.read_bytes()[:200], b"", b"nothing"):
        path.write_bytes(damage)
        assert np.array_equal(build(settings)(moving(2)), first)
        assert "damaged" in caplog.text
        caplog.clear()


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, 2600)  # three of the arrays, with their headers
    arrays = {f"{i}": np.full(700, i, np.uint8) for i in range(4)}
    for number, key in enumerate("012"):
        cache.put(key, arrays[key])
        age(tmp_path / f"{key}.npy", number)
    assert cache.get("0") is not None  # used again, so 1 is the oldest
    cache.put("3", arrays["3"])
    assert cache.get("1") is None
    assert [np.array_equal(cache.get(key), arrays[key]) for key in "023"] == [True] * 3
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2600


def test_folders_that_cannot_be_made_or_written_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/cache: results cannot be kept there \(Not a directory\)"):
        ArrayCache(tmp_path / "file" / "cache", 1000)
    cache = ArrayCache(tmp_path / "cache", 1000)
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("")
    cache.put("0", np.zeros(3, np.uint8))
    assert "0.npy: not kept (" in caplog.text


def age(path: Path, seconds: int) -> None:
    os.utime(path, (1e9 + seconds, 1e9 + seconds))


def test_keys_depend_on_all_that_matters() -> None:
    frames = moving(2)
    other = frames.copy()
    other[1, 2, 3, 0] ^= 1
    keys = {key_of("a", frames), key_of("b", frames), key_of("a", other), key_of("a", frames.reshape(1, 48, 24, 3))}
    assert len(keys) == 4
    assert key_of("a", frames[:, :, ::-1][:, :, ::-1]) == key_of("a", frames)


def test_image_networks_come_through_spandrel(tmp_path: Path) -> None:
    spandrel = pytest.importorskip("spandrel")
    compact: Any = importlib.import_module("spandrel.architectures.Compact.__arch.SRVGG")
    torch.manual_seed(0)
    network = compact.SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2, act_type="prelu")
    torch.save({"params": network.state_dict()}, tmp_path / "n.pth")
    stage = build({"name": "spandrel", "weights": str(tmp_path / "n.pth"), "cut": {"chunk_frames": 1, "overlap_frames": 0}})
    frames = moving(3, 9)
    found = stage(frames)
    with torch.inference_mode():
        expected = spandrel.ModelLoader().load_from_state_dict(network.state_dict())(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255)
    assert np.abs(found.astype(int) - (expected * 255).clamp(0, 255).round().permute(0, 2, 3, 1).numpy()).max() <= 1
    assert stage.scale == 2
    with pytest.raises(InputError, match=r"n\.pth: weights enlarge 2 times, but the config says scale 4"):
        build({"name": "spandrel", "weights": str(tmp_path / "n.pth"), "scale": 4})
    torch.save({"a": torch.zeros(2)}, tmp_path / "o.pth")
    with pytest.raises(InputError, match=r"o\.pth: no network that spandrel knows"):
        build({"name": "spandrel", "weights": str(tmp_path / "o.pth")})
    (tmp_path / "t.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"t\.safetensors: not a readable safetensors file"):
        build({"name": "spandrel", "weights": str(tmp_path / "t.safetensors")})


def test_networks_that_spandrel_does_not_know_are_named(development_data: Path) -> None:
    pytest.importorskip("spandrel")
    for name in ("team04_rlfn.pth", "rfdn_baseline.pth"):
        with pytest.raises(InputError, match=rf"{name}: no network that spandrel knows"):
            build({"name": "spandrel", "weights": str(development_data / "teachers" / name)})


def test_without_spandrel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(InputError, match=r'pip install "partwise\[superres\]"'):
        build({"name": "spandrel", "weights": "n.pth"})


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="unknown key 'chunk_frame'; did you mean 'chunk_frames'"):
        parse_config(Chunking, {"chunk_frame": 3}, "cut")
