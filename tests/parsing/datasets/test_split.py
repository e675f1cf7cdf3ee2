from pathlib import Path

import pytest

from parsing.datasets.split import held, hold_out, read_val_share, source_of, split_name
from parsing.errors import InputError


@pytest.mark.parametrize(
    ("video", "source"),
    [
        ("v_Run_g01_c02", "v_Run_g01"),
        ("-2hTGLZB3Ls_000034_000044", "-2hTGLZB3Ls"),
        ("April_09_brush_hair_u_nm_np1_ba_goo_0", "April_09_brush_hair_u_nm_np1_ba"),
        ("match-clip-12", "match"),
        ("run_001", "run_001"),  # a number alone may tell videos apart
    ],
)
def test_sources_of_clips(video: str, source: str) -> None:
    assert source_of(video) == source


def test_a_smaller_share_is_a_part_of_a_larger_one() -> None:
    videos = [f"v{i}" for i in range(1000)]
    few, many = ({video for video in videos if held(video, share)} for share in (0.1, 0.3))
    assert few < many
    assert 70 < len(few) < 130  # 100 on average, with a standard deviation of 9.5
    assert 255 < len(many) < 345


def test_clips_of_one_source_stay_together_and_every_class_keeps_both_sides() -> None:
    videos = [("run", f"v_g{i:02d}_c{j:02d}") for i in range(3) for j in range(4)] + [("walk", "a"), ("walk", "b"), ("lone", "c")]
    for share in (1e-6, 0.5, 1 - 1e-6):
        chosen = hold_out(videos, share)
        for label, count in (("run", 3), ("walk", 2)):
            sources = {source_of(video) for name, video in videos if name == label}
            assert len(sources) == count
            assert 0 < len(sources & chosen) < count
        assert "c" not in chosen  # a class of one source has nothing to hold out


def test_the_share_stands_in_the_folder_of_the_data_set(tmp_path: Path) -> None:
    assert read_val_share(tmp_path) == 0.1
    (tmp_path / "split.yaml").write_text("val_share: 0.25\n")
    assert read_val_share(tmp_path) == 0.25
    for text in ("val_share: 1.0", "val_share: a", "share: 0.1", "[]"):
        (tmp_path / "split.yaml").write_text(text)
        with pytest.raises(InputError, match=r"split\.yaml"):
            read_val_share(tmp_path)


def test_names_of_splits() -> None:
    assert [split_name(name, "") for name in ("Train", " training ", "valid", "Validation", "dev", "TEST")] == [
        "train",
        "train",
        "val",
        "val",
        "val",
        "test",
    ]
    with pytest.raises(InputError, match=r"l\.csv: line 3: split 'trian', expected train, val or test"):
        split_name("trian", "l.csv: line 3")


def test_a_split_of_its_own_name_stays_one() -> None:
    assert [split_name(text, "l.csv") for text in (" Validation ", "TESTING", "extra", "Fold 3")] == ["val", "test", "extra", "fold 3"]
