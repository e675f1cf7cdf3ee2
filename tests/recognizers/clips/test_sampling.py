import numpy as np
import pytest

from recognizers.clips.frame_sampling import Dense, Segments
from recognizers.clips.test_views import shrunk
from recognizers.networks import NETWORKS, parse_architecture


def test_dense_clips_by_hand() -> None:
    assert Dense(4, 2).for_test(20, 1)[0].tolist() == [6, 8, 10, 12]
    assert [clip[0] for clip in Dense(4, 2).for_test(20, 3)] == [0, 6, 13]
    assert Dense(4, 2).for_test(20, 3)[-1].tolist() == [13, 15, 17, 19]
    with pytest.raises(ValueError, match="num_frames is 0"):
        Dense(4).for_test(0, 1)


def test_short_videos_start_again() -> None:
    assert Dense(8, 2).for_test(5, 1)[0].tolist() == [0, 2, 4, 1, 3, 0, 2, 4]
    assert Dense(3).for_test(1, 2)[1].tolist() == [0, 0, 0]


def test_random_clips_stay_inside_and_reach_both_ends() -> None:
    random = np.random.default_rng(0)
    clips = [Dense(4, 3).at_random(12, random) for _ in range(100)]
    assert {int(clip[0]) for clip in clips} == {0, 1, 2}
    assert max(int(clip[-1]) for clip in clips) == 11
    picked = np.array([Segments(3).at_random(9, random) for _ in range(100)])
    assert (picked // 3 == [0, 1, 2]).all()
    assert len(np.unique(picked)) == 9


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_says_what_it_samples(name: str) -> None:
    settings = {"backbone": "resnet18"} if name == "tsm" else {}
    architecture = parse_architecture(name, settings, "here")  # type: ignore[arg-type]
    clips = architecture.sampling.for_test(100, 2)
    assert [len(clip) for clip in clips] == [architecture.sampling.clip_frames] * 2


def test_networks_take_either_sampler() -> None:
    csn = parse_architecture("csn", {"frames": 4, "interval": 3}, "t").sampling
    assert csn == Dense(4, 3)
    assert parse_architecture("csn", {"frames": 4, "sampler": "uniform"}, "t").sampling == Segments(4)
    assert parse_architecture("slowfast", {"frames": 8, "alpha": 4, "sampler": "uniform"}, "t").sampling == Segments(8, multiple=4)
    tsm = {"backbone": "test_resnet", "num_segments": 4, "snippet": 2, "step": 3}
    assert parse_architecture("tsm", tsm, "t").sampling == Segments(4, 2, 3, 2)
    assert parse_architecture("tsm", tsm | {"sampler": "dense"}, "t").sampling == Dense(8, 3, 2)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 19), (64, 33)])
def test_large_images_are_averaged_by_halves_first(height: int, width: int) -> None:
    image = np.add.outer(np.arange(height), np.arange(width))[..., None].repeat(3, 2).astype(np.uint8)
    found = shrunk(image, (4, 4))
    middles = [np.linspace(0, length, 5)[:-1] + length / 8 - 0.5 for length in (height, width)]
    assert np.abs(found[..., 0].astype(float) - np.add.outer(*middles)).max() <= 1.5  # rounded once for each half
    assert (shrunk(np.full((64, 48, 3), 7, np.uint8), (5, 6)) == 7).all()
