from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.types import Frame
from recognizers.clips.frame_sampling import Dense, Segments, random_segments, segment_frames
from recognizers.clips.test_views import View, scale, window
from recognizers.labels import ActionLabels
from recognizers.networks.tsm import TSM, TSMArchitecture, shift_in_time
from recognizers.video import VideoRecognizer, VideoRecognizerConfig

TINY = TSMArchitecture("test_resnet", level=2, num_segments=3, input_px=32, dropout=0.0)


def test_shift_by_hand() -> None:
    # One clip of three frames, four channels: the first moves back in time, the second on, the rest stays.
    x = torch.arange(12.0).view(3, 4, 1, 1)
    shifted = shift_in_time(x, 3, 0.25).view(3, 4)
    assert shifted[:, 0].tolist() == [4, 8, 0]
    assert shifted[:, 1].tolist() == [0, 1, 5]
    assert shifted[:, 2:].tolist() == [[2, 3], [6, 7], [10, 11]]


def test_clips_of_a_batch_do_not_mix() -> None:
    clips = torch.rand(4, 3, 8, 2, 2)
    together = shift_in_time(clips.flatten(0, 1), 3, 0.25).view_as(clips)
    for i in range(4):
        assert torch.equal(shift_in_time(clips[i], 3, 0.25), together[i])


@pytest.mark.parametrize(("backbone", "level"), [("test_resnet", 2), ("tf_efficientnet_lite0", 4)])
def test_order_of_frames_matters_and_without_shift_does_not(backbone: str, level: int) -> None:
    torch.manual_seed(0)
    clips = torch.rand(1, 3, 3, 32, 32)
    for share, differs in ((0.25, True), (0.0, False)):
        network = TSM(TSMArchitecture(backbone, level=level, num_segments=3, shift=share, input_px=32), 4).eval()
        for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            torch.nn.init.ones_(norm.weight)  # ResNets start with residual branches that give zero
        torch.nn.init.normal_(network.classifier.weight)
        with torch.inference_mode():
            change = (network(clips) - network(clips.flip(1))).abs().max()
        assert (change > 1e-3) == differs


def test_backbones_without_residual_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="no residual block"):
        TSM(TSMArchitecture("vgg11", level=1), 2)


def test_segments_by_hand() -> None:
    assert [clip.tolist() for clip in segment_frames(16, 4)] == [[2, 6, 10, 14]]
    assert [clip.tolist() for clip in segment_frames(16, 4, 2)] == [[1, 5, 9, 13], [3, 7, 11, 15]]
    assert [clip.tolist() for clip in segment_frames(1, 4)] == [[0, 0, 0, 0]]
    assert [clip.tolist() for clip in segment_frames(3, 6)] == [[0, 0, 1, 1, 2, 2]]
    assert [clip.tolist() for clip in segment_frames(16, 2, 1, snippet=2, step=3)] == [[4, 7, 12, 15]]
    assert [clip.tolist() for clip in segment_frames(2, 1, 1, snippet=3, step=2)] == [[0, 1, 1]]
    with pytest.raises(ValueError, match="at least 1"):
        segment_frames(0, 4)


def test_snippets_that_change_look_different_from_those_that_do_not() -> None:
    """Two clips of the same frames: once each snippet holds still and they differ from each other, once the other way round."""
    torch.manual_seed(0)
    network = TSM(TSMArchitecture("test_resnet", level=2, num_segments=2, snippet=2, shift=0.0, input_px=32), 3).eval()
    torch.nn.init.normal_(network.classifier.weight)
    a, b = torch.rand(2, 3, 32, 32)
    still, moving = torch.stack([a, a, b, b])[None], torch.stack([a, b, a, b])[None]
    with torch.inference_mode():
        assert (network(still) - network(moving)).abs().max() > 1e-3
        assert torch.allclose(network(moving), network(torch.stack([b, a, b, a])[None]), atol=1e-5)


def test_shift_may_be_kept_to_late_blocks() -> None:
    network = TSM(TSMArchitecture("tf_efficientnet_lite0", shift_after=3, input_px=32), 2)
    hooked = [name for name, module in network.backbone.net.named_modules() if module._forward_pre_hooks]
    assert hooked
    assert all(name.startswith(("blocks.5", "blocks.6")) for name in hooked)


def test_random_segments_stay_in_their_segment() -> None:
    random = np.random.default_rng(0)
    drawn = np.stack([random_segments(40, 4, random) for _ in range(200)])
    assert (drawn // 10 == np.arange(4)).all()
    assert len(np.unique(drawn[:, 0])) == 10


def test_squeeze_keeps_what_lies_within_four_to_three() -> None:
    def squeeze(image: np.ndarray) -> np.ndarray:
        return scale(window(image, "squeeze"), 16)

    image = np.zeros((30, 80, 3), np.uint8)
    image[:, 20:60] = 255
    assert (squeeze(image) == 255).all()
    assert (squeeze(np.ascontiguousarray(image.transpose(1, 0, 2))) == 255).all()
    wide = np.zeros((30, 40, 3), np.uint8)
    wide[:, :20] = 255
    assert squeeze(wide)[..., 0].mean() == pytest.approx(127.5, abs=1)  # nothing was cut off


def test_stage_gives_probabilities_and_averages_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TSM(TINY, 2).eval()
    torch.nn.init.normal_(network.classifier.weight)
    path = tmp_path / "w.safetensors"
    save_weights(network, path, WeightsHeader("tsm", asdict(TINY), {"actions": ["run", "walk"]}), torch.float32)
    stage = VideoRecognizerConfig("tsm", str(path)).build("cpu")
    assert stage.action_names == ("run", "walk")
    assert len(stage.clips(30)) == 2
    random = np.random.default_rng(0)
    frames = {i: Frame("a", i, 0.0, random.integers(0, 255, (40, 50, 3), np.uint8)) for i in range(30)}
    wanted = sorted({int(i) for clip in stage.clips(30) for i in clip})
    assert stage.indices(30).tolist() == wanted
    scores = stage({i: frames[i] for i in wanted}, 30)
    assert scores.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert scores.models == stage.models
    single = VideoRecognizer(network, TINY, ActionLabels(("run", "walk")), "cpu", (View(),))
    logits = [single.logits([[frames[int(i)] for i in clip]])[0] for clip in stage.clips(30)]
    mean = np.exp(np.mean(logits, 0))
    assert scores.probabilities == pytest.approx(mean / mean.sum(), abs=1e-4)
    assert scores.holds.tolist() == [bool(mean[0] > mean[1]), bool(mean[1] > mean[0])]
    save_weights(network, path, WeightsHeader("tsm", asdict(TINY), {}))
    with pytest.raises(InputError, match="labels: actions: Field required"):
        VideoRecognizerConfig("tsm", str(path)).build("cpu")


def test_views_pick_frames_and_parts() -> None:
    sampling = Segments(4)
    assert View(order="reverse").sample(sampling, 8)[0].tolist() == [7, 5, 3, 1]
    assert View(order="both").sample(sampling, 8)[0].tolist() == [2, 6, 5, 1]
    assert View(interval=3).sample(Dense(3), 9)[0].tolist() == [1, 4, 7]
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, :10], image[:, 20:] = 50, 200
    views = {crop: View(crop=crop).pixels([image], 10)[0, 5, 5, 0] for crop in ("left", "centre", "right")}  # type: ignore[arg-type]
    assert views == {"left": 50, "centre": 0, "right": 200}
    mirrored = View(crop="left", flip=True).pixels([np.tile(np.arange(30, dtype=np.uint8)[:, None], (10, 1, 3))], 10)
    assert mirrored.shape == (1, 10, 10, 3)
    assert View(crop="random").pixels([image, image], 8).shape == (2, 8, 8, 3)
    assert np.array_equal(View(crop="random").pixels([image], 8), View(crop="random").pixels([image], 8))


def test_mirrored_clips_swap_the_sides_of_actions() -> None:
    assert ActionLabels(("wave_left", "run", "wave_right")).mirrored().tolist() == [2, 1, 0]
    with pytest.raises(InputError, match="action 'wave_left' has a side and there is no action 'wave_right'"):
        ActionLabels(("wave_left", "run")).mirrored()
    torch.manual_seed(0)
    network = TSM(TINY, 3).eval()
    torch.nn.init.normal_(network.classifier.weight)
    names = ("wave_left", "run", "wave_right")
    random = np.random.default_rng(0)
    clip = [Frame("a", i, 0.0, random.integers(0, 255, (32, 32, 3), np.uint8)) for i in range(3)]
    mirrored = [Frame("a", f.index, 0.0, np.ascontiguousarray(f.image[:, ::-1])) for f in clip]
    plain = VideoRecognizer(network, TINY, ActionLabels(names), "cpu", (View(),)).logits([mirrored])
    flipped = VideoRecognizer(network, TINY, ActionLabels(names), "cpu", (View(flip=True),)).logits([clip])
    assert flipped[0] == pytest.approx(plain[0, [2, 1, 0]], abs=1e-5)


def test_averages_before_and_after_the_softmax_differ() -> None:
    torch.manual_seed(0)
    network = TSM(TINY, 3).eval()
    torch.nn.init.normal_(network.classifier.weight, std=20)
    frames = {i: Frame("a", i, 0.0, np.full((32, 32, 3), 28 * i, np.uint8)) for i in range(9)}
    before = VideoRecognizer(network, TINY, ActionLabels(("a", "b", "c")), "cpu", (View(clips=2),))
    after = VideoRecognizer(network, TINY, ActionLabels(("a", "b", "c")), "cpu", (View(clips=2),), "probabilities")
    logits = torch.from_numpy(after.logits([[frames[int(i)] for i in clip] for clip in after.clips(9)]))
    assert after(frames, 9).probabilities == pytest.approx(logits.softmax(1).mean(0).numpy(), abs=1e-5)
    assert before(frames, 9).probabilities == pytest.approx(logits.mean(0).softmax(0).numpy(), abs=1e-5)
    assert np.abs(before(frames, 9).probabilities - after(frames, 9).probabilities).max() > 1e-4
