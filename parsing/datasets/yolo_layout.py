"""Where the images and labels of a YOLO data set lie: `data.yaml`, or a folder of labels beside one of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsing.configs import read_yaml
from parsing.datasets.problems import Problems, named_file
from parsing.datasets.records import PERSON
from parsing.errors import InputError
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.vocabulary import read_list

SPLIT_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
POINT_SHAPES = ([17, 3], [17, 2])


@dataclass(frozen=True)
class YoloLayout:
    """The files of a split.

    Args:
        file: what says so: the `data.yaml` or the folder of labels.
        names: class names by number.
        point_values: numbers of each of the 17 keypoints of a pose set, 3 or 2.
        pairs: each image with the label file that it would have.
    """

    file: Path
    names: dict[int, str]
    point_values: int
    pairs: list[tuple[Path, Path]]


def yolo_layout(annotations: Path, images: Path, split: str, problems: Problems) -> YoloLayout:
    """The layout of a split of a data set.

    Args:
        annotations: a `data.yaml`, a folder that holds one, or a folder of labels.
        images: of a folder of labels, that of the images: `images/train` for `labels/train`, or `images`.
        split: `train`, `val` or `test`, of a `data.yaml`.

    Raises:
        InputError: there is no image, or `data.yaml` does not fit; says where was looked.
    """
    files = sorted(annotations.glob("*.y*ml")) if annotations.is_dir() else [annotations]
    for file in files:
        settings = read_yaml(file)
        if any(key in settings for keys in SPLIT_KEYS.values() for key in keys):
            return _of_yaml(file, settings, split, problems)
    if not annotations.is_dir():
        raise InputError(f"{annotations}: names no split; expected train, val or test with a folder or list of images")
    folder = images / annotations.name if (images / annotations.name).is_dir() else images
    pairs = [(path, annotations / path.relative_to(folder).with_suffix(".txt")) for path in _images_in(folder)]
    if not pairs:
        raise InputError(f"{folder}: no image below this folder ({', '.join(IMAGE_SUFFIXES)})")
    return YoloLayout(annotations, *_classes_above(annotations), pairs)


def label_of(image: Path) -> Path:
    """The label file of an image: `labels` in place of the last folder `images`, or beside it where there is none."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _of_yaml(file: Path, settings: dict[str, Any], split: str, problems: Problems) -> YoloLayout:
    keys = SPLIT_KEYS.get(split, (split,))
    value = next((settings[key] for key in keys if settings.get(key)), None)
    places = [value] if isinstance(value, str) else value
    if not isinstance(places, list) or not places or not all(isinstance(place, str) for place in places):
        raise InputError(f"{file}: {split}: {value!r:.80}, expected a folder of images, a list of them, or a list file (.txt)")
    images = [image for place in places for image in _listed(file, settings, place, problems)]
    if not images:
        raise InputError(f"{file}: {split}: no image in {', '.join(places)} ({', '.join(IMAGE_SUFFIXES)})")
    pairs = [(image, label_of(image)) for image in dict.fromkeys(images)]
    return YoloLayout(file, *_classes_of(file, settings), pairs)


def _listed(file: Path, settings: dict[str, Any], place: str, problems: Problems) -> Iterator[Path]:
    """The images of a folder, or of a text file of their paths; the latter are relative to it, or to the set's root."""
    roots = list(_roots(file, settings))
    tries = [named_file(root, place) for root in roots]
    # Roboflow writes `../train/images` for a folder beside its data.yaml.
    tries += [named_file(root, place.replace("\\", "/").removeprefix("../")) for root in roots]
    found = next((path for path in tries if path.exists()), None)
    if found is None:
        raise InputError(f"{file}: {place}: not there; looked for {', '.join(dict.fromkeys(map(str, tries)))}")
    if found.is_dir():
        yield from _images_in(found)
        return
    for line in _lines(found):
        places = [named_file(root, line) for root in (found.parent, *roots)]
        image = next((path for path in places if path.is_file()), None)
        if image is None:
            problems.add(found, f"image {line!r:.80}", f"not there; looked for {places[0]}")
        else:
            yield image


def _roots(file: Path, settings: dict[str, Any]) -> Iterator[Path]:
    """What the splits are relative to: `path`, itself relative to the file's folder, or that folder."""
    if isinstance(settings.get("path"), str):
        yield named_file(file.parent, settings["path"])
    yield file.parent


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of images ({error})") from None


def _classes_of(file: Path, settings: dict[str, Any]) -> tuple[dict[int, str], int]:
    """Class names by number, and the numbers of each keypoint."""
    names = settings.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(str(key).isdecimal() for key in names):
        raise InputError(f"{file}: names: {names!r:.80}, expected a list of class names, or names by number")
    if settings.get("nc", len(names)) != len(names):
        raise InputError(f"{file}: nc: {settings['nc']!r:.20}, but {len(names)} names")
    shape = settings.get("kpt_shape", [17, 3])
    if shape not in POINT_SHAPES:
        raise InputError(f"{file}: kpt_shape: {shape!r:.40}, expected [17, 3] or [17, 2]: COCO's keypoints")
    return {int(key): str(name) for key, name in names.items()}, int(shape[1])


def _classes_above(annotations: Path) -> tuple[dict[int, str], int]:
    """From `classes.txt` or a YAML file with `names` in a folder or above; without one, class 0 is a person."""
    for folder in (annotations, annotations.parent, annotations.parent.parent):
        for file in sorted([*folder.glob("classes.txt"), *folder.glob("*.y*ml")]):
            if file.suffix == ".txt":
                return dict(enumerate(read_list(file))), 3
            if (settings := read_yaml(file)).get("names"):
                return _classes_of(file, settings)
    return {0: PERSON}, 3
