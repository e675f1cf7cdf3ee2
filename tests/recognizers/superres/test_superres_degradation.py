import av
import cv2
import numpy as np
import pytest
from seeded import seeded_image

from parsing.configs import parse_config
from parsing.errors import InputError
from recognizers.superres.degradation import SECOND_PASS, DegradationPass, compress, degrade, downscale, gaussian_kernel

QUIET = DegradationPass(blur=0, enlarge=0, shrink=0, poisson=0, noise_sigma=(1e-9, 1e-8), jpeg=(100, 100), video=0)
NOISY = DegradationPass(blur=0, enlarge=0, shrink=0, poisson=0, gray=1, noise_sigma=(10, 10), jpeg=(100, 100), video=0)


def clip(frames: int = 4, height: int = 40, width: int = 48) -> np.ndarray:
    return np.stack([seeded_image(height, width)] * frames)


def test_the_same_seed_gives_the_same_clip() -> None:
    passes, found = (DegradationPass(), SECOND_PASS), []
    for seed in range(12):  # codecs are tried at many sizes
        twice = [degrade(clip(), (20, 24), passes, np.random.default_rng(seed)) for _ in range(2)]
        assert twice[0].shape == (4, 20, 24, 3)
        assert twice[0].dtype == np.uint8
        assert np.array_equal(*twice)
        found.append(twice[0])
    assert not np.array_equal(found[0], found[1])


def test_all_but_noise_is_the_same_for_every_frame() -> None:
    blurred = DegradationPass(poisson=0, noise_sigma=(1e-9, 1e-8), video=0)
    for seed in range(5):
        found = degrade(clip(), (20, 24), (blurred,), np.random.default_rng(seed))
        assert (found == found[:1]).all()
    noisy = degrade(clip(), (40, 48), (NOISY,), np.random.default_rng(0))
    assert (noisy[0] != noisy[1]).any()


def test_noise_is_as_strong_as_asked() -> None:
    gray = np.full((4, 64, 64, 3), 128, np.uint8)
    noise = degrade(gray, (64, 64), (NOISY,), np.random.default_rng(0)).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.1)  # JPEG takes a little
    assert np.abs(noise.mean((1, 2, 3))).max() < 1
    shot = DegradationPass(blur=0, enlarge=0, shrink=0, poisson=1, gray=0, poisson_scale=(1, 1), jpeg=(100, 100), video=0)
    found = degrade(np.full((4, 64, 64, 3), 100, np.uint8), (64, 64), (shot,), np.random.default_rng(0)).astype(float)
    assert found.mean(3).std() == pytest.approx(10 / 3**0.5, rel=0.2)  # the root of the light, mean of three colours


def test_nothing_asked_for_changes_next_to_nothing() -> None:
    found = degrade(clip(), (40, 48), (QUIET,), np.random.default_rng(0))
    assert np.abs(found.astype(int) - clip()).mean() < 1


def test_kernels_are_gaussian() -> None:
    kernel = gaussian_kernel((1.0, 1.0), 0.3)
    assert kernel.shape == (7, 7)
    assert kernel.sum() == pytest.approx(1)
    line = cv2.getGaussianKernel(7, 1.0)
    assert np.allclose(kernel, line @ line.T)
    long = gaussian_kernel((2.0, 0.5), 0.0)  # along x
    y, x = np.mgrid[-6:7, -6:7]
    assert (long * x**2).sum() > 10 * (long * y**2).sum()
    assert np.allclose(gaussian_kernel((2.0, 0.5), np.pi / 2), long.T)


@pytest.mark.parametrize(("codec", "fine", "coarse"), [("libx264", 1, 40), ("mpeg4", 1, 31)])
def test_coarser_quantisers_lose_more(codec: str, fine: int, coarse: int) -> None:
    moving = np.stack([seeded_image(45, 51, seed)[:33, :41] for seed in range(3)])  # odd sides
    lost = [np.abs(compress(moving, codec, q).astype(int) - moving).mean() for q in (fine, coarse)]
    assert lost[0] < 4
    assert lost[1] > 1.3 * lost[0]
    assert codec in av.codecs_available


def test_the_smallest_clips_survive() -> None:
    for size in ((1, 1), (1, 5), (3, 2)):
        tiny = clip(1, *size)
        found = degrade(tiny, size, (DegradationPass(), SECOND_PASS), np.random.default_rng(0))
        assert found.shape == tiny.shape
        assert compress(tiny, "libx264", 20).shape == tiny.shape
        assert compress(tiny, "mpeg4", 5).shape == tiny.shape


def test_clean_shrinking_is_antialiased() -> None:
    stripes = np.zeros((1, 16, 16, 3), np.uint8)
    stripes[:, :, ::2] = 255
    inside = downscale(stripes, (8, 8))[0, :, 2:-2]
    assert np.abs(inside.astype(int) - 128).max() < 40  # without a filter all of them would be 0 or 255
    flat = np.full((2, 10, 12, 3), 77, np.uint8)
    assert (downscale(flat, (5, 6)) == 77).all()


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match=r"blur: Input should be less than or equal to 1 \(found 1\.5\)"):
        parse_config(DegradationPass, {"blur": 1.5}, "degradation")
