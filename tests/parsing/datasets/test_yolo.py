"""Layouts of YOLO data sets, and rows of labels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from parsing.datasets import Problems, default_images, read_records
from parsing.datasets.yolo_layout import label_of
from parsing.errors import InputError

BOX = "0 0.5 0.5 0.25 0.5\n"


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((100, 200, 3), np.uint8))


def write_set(root: Path, settings: str, sub: str = "images/{}", labels: str = "labels/{}") -> Path:
    """Two images with a box to train on and one to validate on, and `data.yaml`."""
    for split, names in (("train", "ab"), ("val", "c")):
        for name in names:
            image(root / sub.format(split) / f"{name}.png")
            label = root / labels.format(split) / f"{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(BOX)
    (root / "data.yaml").write_text(settings)
    return root / "data.yaml"


def names_of(path: Path, split: str) -> list[str]:
    records = read_records("yolo", path, path.parent / "nowhere", split=split)  # type: ignore[arg-type]
    assert all(len(record.persons) == 1 for record in records)
    return [record.path.name for record in records]


@pytest.mark.parametrize(
    ("settings", "sub", "labels"),
    [
        ("train: images/train\nval: images/val\nnames: [person]", "images/{}", "labels/{}"),
        ("train: images\\train\nval: images\\val\nnames: [person]", "images/{}", "labels/{}"),
        ("path: .\ntrain: [images/train]\nval: [images/val]\nnames: {0: person}", "images/{}", "labels/{}"),
        ("path: sub\ntrain: images/train\nval: images/val\nnc: 1\nnames: ['Person']", "sub/images/{}", "sub/labels/{}"),
        ("path: ../datasets/away\ntrain: images/train\nvalid: images/val\nnames: [person]", "images/{}", "labels/{}"),
        ("train: ../train/images\nval: ../val/images\nnames: [human]", "{}/images", "{}/labels"),  # Roboflow
        ("train: train\nval: val\nnames: [person]", "{}", "{}"),  # labels beside the images
    ],
)
def test_layouts_that_everybody_has(tmp_path: Path, settings: str, sub: str, labels: str) -> None:
    path = write_set(tmp_path, settings, sub, labels)
    for given in (path, tmp_path):  # the file, or the folder that holds it
        assert names_of(given, "train") == ["a.png", "b.png"]
        assert names_of(given, "val") == ["c.png"]


def test_lists_of_images(tmp_path: Path) -> None:
    path = write_set(tmp_path, "train: train.txt\nval: [val.txt]\nnames: [person]")
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf./images/train/a.png\r\nimages\\train\\b.png\r\n\r\n")
    (tmp_path / "val.txt").write_text(f"{tmp_path}/images/val/c.png\n")
    assert names_of(path, "train") == ["a.png", "b.png"]
    assert names_of(path, "val") == ["c.png"]
    (tmp_path / "val.txt").write_text("images/val/d.png\nimages/val/c.png\n")
    with pytest.raises(InputError, match=r"val\.txt: image 'images/val/d\.png': not there; looked for .*images/val/d\.png"):
        names_of(path, "val")
    problems = Problems("skip")
    assert len(read_records("yolo", path, tmp_path, problems, "val")) == len(problems.found) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("train: images/trian\nnames: [person]", r"images/trian: not there; looked for .*images/trian"),
        ("train: labels/train\nnames: [person]", r"train: no image in labels/train"),
        ("train: {a: b}\nnames: [person]", r"train: \{'a': 'b'\}, expected a folder of images"),
        ("val: images/val\nnames: [person]", "train: None, expected a folder"),
        ("train: images/train", "names: None, expected a list of class names"),
        ("train: images/train\nnames: {person: 0}", "names: .*expected a list"),
        ("train: images/train\nnc: 2\nnames: [person]", "nc: 2, but 1 names"),
        ("train: images/train\nkpt_shape: [4, 3]\nnames: [person]", r"kpt_shape: \[4, 3\], expected \[17, 3\]"),
        ("names: [person]", "names no split"),
    ],
)
def test_bad_settings_say_where_was_looked(tmp_path: Path, settings: str, message: str) -> None:
    path = write_set(tmp_path, settings)
    with pytest.raises(InputError, match=rf"data\.yaml: {message}"):
        names_of(path, "train")


def test_a_set_without_any_label_stops(tmp_path: Path) -> None:
    path = write_set(tmp_path, "train: images/train\nnames: [person]")
    (tmp_path / "labels").rename(tmp_path / "label")
    with pytest.raises(InputError, match=r"none of 2 images has labels; looked for .*labels/train/a\.txt"):
        names_of(path, "train")


def test_folders_of_labels_find_their_images(tmp_path: Path) -> None:
    write_set(tmp_path, "names: [person]")
    labels = tmp_path / "labels"
    for folder, count in ((labels, 3), (labels / "train", 2), (labels / "val", 1)):
        assert default_images(folder) == tmp_path / "images"
        records = read_records("yolo", folder, tmp_path / "images")
        assert [len(record.objects) for record in records] == [1] * count


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("d/images/train/a.jpg", "d/labels/train/a.txt"),
        ("images/images/a.b.jpg", "images/labels/a.b.txt"),  # the last folder of the name
        ("d/train/a.jpg", "d/train/a.txt"),
        ("d/myimages/images.jpg", "d/myimages/images.txt"),
    ],
)
def test_labels_of_images(image: str, label: str) -> None:
    assert label_of(Path(image)) == Path(label)


def test_rows(tmp_path: Path) -> None:
    path = write_set(tmp_path, "train: images/train\nnames: [person, car]\nkpt_shape: [17, 2]")
    joints = " ".join(["0.5 0.25"] * 16 + ["0 0"])
    outline = "1 0.1 0.2 0.3 0.2 0.2 0.6"
    (tmp_path / "labels/train/a.txt").write_bytes(f"\ufeff0 .5 .5 .5 .5 {joints}\r\n{outline}\r\n".encode())
    (tmp_path / "labels/train/b.txt").write_text("")
    first, empty = read_records("yolo", path, tmp_path)
    person, car = first.objects
    assert person.keypoints17 is not None
    assert person.keypoints17[0].tolist() == [100, 25, 2]
    assert person.keypoints17[16].tolist() == [0, 0, 0]
    assert car.xyxy.round(3).tolist() == [20, 20, 60, 60]
    assert empty.objects == ()


def test_an_image_whose_rows_are_all_bad_is_left_out(tmp_path: Path) -> None:
    path = write_set(tmp_path, "train: images/train\nnames: [person]")
    (tmp_path / "labels/train/a.txt").write_text("3 .5 .5 .5 .5\n0 5 5 .1 .1\n")
    problems = Problems("skip")
    assert [record.path.name for record in read_records("yolo", path, tmp_path, problems)] == ["b.png"]
    assert len(problems.found) == 2
    assert "image a.png: all of its annotations were left out" in problems.notes[0]
