from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from parsing.errors import InputError
from parsing.types import Frame
from parsing.weights import WeightsHeader, save_weights
from recognizers.ensemble import average_scores
from recognizers.networks.tsm import TSM, TSMArchitecture, shift_in_time
from recognizers.sampling import random_segments, segment_frames
from recognizers.tsm import TSMConfig, TSMRecognizer, squeeze

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


def test_average_by_hand() -> None:
    assert average_scores([np.array([0.2, 0.8]), np.array([0.6, 0.4])]) == pytest.approx([0.4, 0.6])
    for bad in ([], [np.zeros(2), np.zeros(3)]):
        with pytest.raises(ValueError, match="one length"):
            average_scores(bad)


def test_squeeze_keeps_what_lies_within_four_to_three() -> None:
    image = np.zeros((30, 80, 3), np.uint8)
    image[:, 20:60] = 255
    assert (squeeze(image, 16) == 255).all()
    assert (squeeze(np.ascontiguousarray(image.transpose(1, 0, 2)), 16) == 255).all()
    wide = np.zeros((30, 40, 3), np.uint8)
    wide[:, :20] = 255
    assert squeeze(wide, 16)[..., 0].mean() == pytest.approx(127.5, abs=1)  # nothing was cut off


def test_stage_gives_probabilities_and_averages_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TSM(TINY, 2).eval()
    torch.nn.init.normal_(network.classifier.weight)
    path = tmp_path / "w.safetensors"
    save_weights(network, path, WeightsHeader("tsm", asdict(TINY), {"actions": ["run", "walk"]}), torch.float32)
    stage = TSMConfig("tsm", str(path), num_clips=2).build("cpu")
    assert stage.action_names == ("run", "walk")
    assert len(stage.sample(30)) == 2
    random = np.random.default_rng(0)
    clips = [[Frame("a", i, 0.0, random.integers(0, 255, (40, 50, 3), np.uint8)) for i in range(3)] for _ in range(2)]
    scores = stage(clips)
    assert scores.sum() == pytest.approx(1, abs=1e-5)
    logits = [np.log(TSMRecognizer(network, ("run", "walk"), "cpu", 1)([clip])) for clip in clips]
    mean = np.exp(np.mean([x - x.mean() for x in logits], 0))
    assert scores == pytest.approx(mean / mean.sum(), abs=1e-4)
    save_weights(network, path, WeightsHeader("tsm", asdict(TINY), {}))
    with pytest.raises(InputError, match="lists no actions"):
        TSMConfig("tsm", str(path)).build("cpu")
