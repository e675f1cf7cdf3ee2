"""Kinetics-TPS annotations as records, for the detectors."""

from __future__ import annotations

from pathlib import Path

from parsing.datasets.kinetics_tps.annotations import PART_LIST, HumanEntry, part_names, read_human, verb_names
from parsing.datasets.problems import Problems, checked_box
from parsing.datasets.records import ImageRecord, ObjectRecord, PartRecord
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.media.images import image_size
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.vocabulary import PART_NAMES


def read_kinetics_tps(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """Kinetics-TPS: one JSON a frame under `<class>/<video>/…`, frames under the same folders of `images` or `<video>/`.

    The class is the action; a part's `verb`, a text or a list, gives its states. Boxes are flat or lists of boxes. There
    are no sizes, so boxes are taken to lie in the frame as it is shown. Parts are those of a `parts.txt` up to two folders
    above, or the ten of the set.
    """
    parts = next((part_names(folder) for folder in annotations.absolute().parents[:2] if (folder / PART_LIST).is_file()), PART_NAMES)
    files = sorted(annotations.rglob("*.json"))
    if not files:
        raise InputError(f"{annotations}: no annotation (*.json) below this folder")
    records = []
    for file in files:
        path = _frame_of(file, annotations, images)
        if path is None:
            problems.add(file, "frame", f"no image {file.stem}.jpg below {images}")
            continue
        try:
            size, value = image_size(path), read_json(file, unique_keys=True)
        except InputError as error:
            problems.add(file, "frame", str(error))
            continue
        humans = value.get("humans") if isinstance(value, dict) else None
        if not isinstance(humans, list):
            problems.add(file, "frame", "expected an object with a list 'humans'")
            continue
        persons = []
        for i, human in enumerate(humans):
            name = f"human {human.get('number', i) if isinstance(human, dict) else i}"
            try:
                persons.append(_person(read_human(human, name, parts=parts), size))
            except InputError as error:
                problems.add(file, *str(error).split(": ", 1))
            except ValueError as error:
                problems.add(file, name, str(error))
        if humans and not persons:
            problems.left_out(file, "frame")
            continue
        action = file.relative_to(annotations).parts[0] if len(file.relative_to(annotations).parts) > 1 else None
        records.append(ImageRecord(path, size, tuple(persons), "kinetics_tps", action, str(file.relative_to(annotations))))
    return records


def _frame_of(file: Path, annotations: Path, images: Path) -> Path | None:
    parts = file.relative_to(annotations).with_suffix("").parts
    name = parts[-1].removesuffix(".jpg")
    unique = list(dict.fromkeys(parts[:-1]))  # <class>/<video>/<video>/ names the video twice
    tries = [parts[:-1], tuple(unique), tuple(unique[1:]), tuple(unique[-1:])]
    found = [path for folder in tries for suffix in IMAGE_SUFFIXES if (path := images.joinpath(*folder, name + suffix)).is_file()]
    return found[0] if found else None


def _person(human: HumanEntry, image_hw: tuple[int, int]) -> ObjectRecord:
    parts = tuple(
        PartRecord(name, checked_box(part.boxes[0], image_hw), states=dict.fromkeys(verb_names(part.verbs), True))
        for name, part in human.parts.items()
    )
    return ObjectRecord(checked_box(human.box, image_hw), parts=parts, id=human.number)
