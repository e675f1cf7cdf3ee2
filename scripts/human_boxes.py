"""Play the human of docs/correcting.md with the boxes that people drew around the acting person of JHMDB's validation clips.

python scripts/human_boxes.py split DATA/jhmdb --actions pour sit --out loop/clips       # loop/clips/train and val, no source video in both
python scripts/human_boxes.py correct task/annotations.xml --boxes DATA/jhmdb/boxes.csv --out task/corrected.xml
python scripts/human_boxes.py found loop/before loop/after --boxes DATA/jhmdb/boxes.csv    # in how many frames parses have the person

`correct` puts the human's box in place of the one that overlaps it most, or adds it where there is none, takes away further boxes
of the same person, and marks all others as not to be judged, since nobody said anything of them. Pictures without a human's box,
the last of most clips, are left out. The boxes count the 25 frames a second that the clips had before these were written at 30.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from parsing.console import say
from parsing.datasets.csv_tables import read_rows
from parsing.datasets.records import CROWD, PERSON
from parsing.errors import InputError
from parsing.files import atomic
from parsing.folders import written_folder
from parsing.geometry import box_areas, box_ious
from parsing.streamed import ParseFile
from parsing.types import Array
from parsing.xml_files import read_xml
from pipelines.command import add_output_options, claim, run_command
from pipelines.select import parse_files

SAME_IOU, SAME_SHARE = 0.3, 0.7  # a box is of the human's person from this overlap on, or with this share of it inside
FOUND_IOU = 0.5
BOX_RATE = 25 / 30  # boxes a frame of the clips
DRAWS = 10_000  # of source videos with replacement, for the spread of a difference
Boxes = Mapping[str, Mapping[int, Array]]  # name of a clip without its suffix -> frame, from 0 -> (4,) px


def split(arguments: argparse.Namespace) -> None:
    """Copy the validation clips of some actions into `train` and `val`: of each action a source goes where there are fewer clips of it."""
    sources: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for _, row in read_rows(arguments.jhmdb / "labels.csv", ["file", "label", "split", "source_video"]):
        if row["split"] == "val" and row["label"] in (arguments.actions or [row["label"]]):
            sources[row["label"], row["source_video"]].append(arguments.jhmdb / row["file"])
    lacking = set(arguments.actions or ()) - {label for label, _ in sources}
    if lacking or not sources:
        raise InputError(f"{arguments.jhmdb / 'labels.csv'}: no validation clip of {', '.join(sorted(lacking)) or 'any action'}")
    claim(arguments, [arguments.out], folders=True)
    counts: dict[str, dict[str, int]] = defaultdict(lambda: {"train": 0, "val": 0})
    total = counts["all"]
    with written_folder(arguments.out, "human_boxes split") as folder:
        for (label, _), clips in sorted(sources.items(), key=lambda item: (-len(item[1]), item)):
            half = min(total, key=lambda name: (counts[label][name], total[name]))
            counts[label][half] += len(clips)
            total[half] += len(clips)
            (folder / half).mkdir(exist_ok=True)
            for clip in clips:
                shutil.copy(clip, folder / half / clip.name)
    say(f"{arguments.out}: {total['train']} clips to correct, {total['val']} to measure")


def read_boxes(path: Path) -> Boxes:
    """The boxes of a file `file,frame,x1,y1,x2,y2`."""
    boxes: dict[str, dict[int, Array]] = defaultdict(dict)
    for number, row in read_rows(path, ["file", "frame", "x1", "y1", "x2", "y2"]):
        try:
            boxes[Path(row["file"]).stem][int(row["frame"])] = np.array([float(row[name]) for name in ("x1", "y1", "x2", "y2")], np.float32)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
    return boxes


def box_at(boxes: Boxes, clip: str, frame: int) -> Array | None:
    """The box of a frame of a clip, from 0; None where there is none."""
    return boxes.get(clip, {}).get(int(frame * BOX_RATE + 0.5))


def correct(arguments: argparse.Namespace) -> None:
    """Correct a task of CVAT."""
    claim(arguments, [arguments.out], inputs=[arguments.annotations, arguments.boxes])
    root, boxes = read_xml(arguments.annotations), read_boxes(arguments.boxes)
    counts: dict[str, int] = defaultdict(int)
    for image in root.findall("image"):
        clip, _, picture = image.get("name", "").rpartition("/")
        box = box_at(boxes, clip, int(picture.removeprefix("img_").partition(".")[0]) - 1)
        counts["pictures"] += box is not None
        if box is None:
            root.remove(image)
            continue
        for what, count in corrected(image, box).items():
            counts[what] += count
    if not counts["pictures"]:
        raise InputError(f"{arguments.boxes}: no box of any picture of {arguments.annotations}")
    with atomic(arguments.out) as temporary:
        temporary.write_text(tostring(root, encoding="unicode"), encoding="utf-8")
    say(f"{arguments.out}: {counts.pop('pictures')} pictures; boxes {', '.join(f'{what} {count}' for what, count in counts.items())}")


def corrected(image: Element, truth: Array) -> dict[str, int]:
    """Correct the persons of a picture and their parts in place; how many boxes were moved, added, taken away and ignored."""
    persons = [box for box in image.iterfind("box") if box.get("label") == PERSON]
    xyxy = np.array([[float(box.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr")] for box in persons], np.float32).reshape(-1, 4)
    ious = box_ious(xyxy, truth[None])[:, 0]
    shared = np.minimum(xyxy[:, 2:], truth[2:]) - np.maximum(xyxy[:, :2], truth[:2])
    inside = shared.clip(0).prod(1) / np.maximum(box_areas(xyxy), 1e-6)
    same = (ious >= SAME_IOU) | (inside >= SAME_SHARE)
    best = int(ious.argmax()) if len(ious) and ious.max() >= SAME_IOU else None
    own = new_person(image) if best is None else persons[best]
    own.attrib.update(zip(("xtl", "ytl", "xbr", "ybr"), (f"{side:.2f}" for side in truth.tolist()), strict=True))
    for i, person in enumerate(persons):
        if i != best and same[i]:
            for box in [box for box in image.iterfind("box") if box.get("group_id") == person.get("group_id")]:
                image.remove(box)
        elif i != best:
            tick(person, CROWD)
    taken = int(same.sum()) - (best is not None)
    return {"moved": int(best is not None), "added": int(best is None), "taken away": taken, "ignored": int((~same).sum())}


def new_person(image: Element) -> Element:
    """A box of a person in a group of its own."""
    group = 1 + max((int(box.get("group_id", 0)) for box in image.iterfind("box")), default=0)
    return SubElement(image, "box", {"label": PERSON, "source": "manual", "occluded": "0", "z_order": "0", "group_id": str(group)})


def tick(box: Element, name: str) -> None:
    """Set a checkbox of a box."""
    attribute = next((one for one in box.iterfind("attribute") if one.get("name") == name), None)
    (SubElement(box, "attribute", {"name": name}) if attribute is None else attribute).text = "true"


def found(arguments: argparse.Namespace) -> None:
    """Print, for each action and for all, in which share of the key frames each folder of parses has the person."""
    boxes = read_boxes(arguments.boxes)
    listed = read_rows(arguments.boxes.with_name("labels.csv"), ["file", "label", "source_video"])
    sources = {Path(row["file"]).stem: (row["label"], row["source_video"]) for _, row in listed}
    rows = [{clip: hits for file in parse_files(parses) for clip, hits in hits_of(file, boxes)} for parses in arguments.parses]
    clips = sorted(set.intersection(set(sources), *(set(row) for row in rows)))
    if not clips:
        raise InputError(f"{arguments.parses[0]}: no parse of a clip that {arguments.boxes} has boxes of")
    say(f"| action | clips | frames | {' | '.join(str(parses) for parses in arguments.parses)} |", "|---" * (3 + len(rows)) + "|")
    for action in [*sorted({sources[clip][0] for clip in clips}), "all"]:
        own = [clip for clip in clips if action in (sources[clip][0], "all")]
        shares = [np.concatenate([row[clip] for clip in own]).mean() for row in rows]
        frames = sum(len(rows[0][clip]) for clip in own)
        say(f"| {action} | {len(own)} | {frames} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    groups = [[clip for clip in clips if sources[clip] == source] for source in sorted({sources[clip] for clip in clips})]
    before, *others = ([np.concatenate([row[clip] for clip in group]) for group in groups] for row in rows)
    for after, parses in zip(others, arguments.parses[1:], strict=True):
        say(f"{parses} less {arguments.parses[0]}: {spread(before, after)}")


def hits_of(file: Path, boxes: Boxes) -> Iterator[tuple[str, Array]]:
    """The clip of a parse and, of each key frame that has a box, whether a person of the parse overlaps it by half."""
    parse = ParseFile(file)
    clip = Path(parse.facts.name).stem
    truths = [(frame.persons.xyxy, box_at(boxes, clip, frame.index)) for frame in parse.frames if frame.key]
    overlaps = [box_ious(xyxy, truth[None]).max(initial=0.0) for xyxy, truth in truths if truth is not None]
    if overlaps:
        yield clip, np.array(overlaps) >= FOUND_IOU


def spread(before: Sequence[Array], after: Sequence[Array]) -> str:
    """The difference of the shares, and between what 95 % of its values lie when source videos are drawn anew."""
    frames, gained = (
        np.array(column)
        for column in zip(*((len(a), int(b.sum()) - int(a.sum())) for a, b in zip(before, after, strict=True)), strict=True)
    )
    draws = np.random.default_rng(0).integers(0, len(frames), (DRAWS, len(frames)))
    low, high = np.percentile(gained[draws].sum(1) / frames[draws].sum(1), [2.5, 97.5])
    more, fewer = int((gained > 0).sum()), int((gained < 0).sum())
    told = f"of {len(frames)} sources {more} are better, {fewer} worse"
    return f"{gained.sum() / frames.sum():+.3f}, with sources drawn anew {low:+.3f} to {high:+.3f}; {told}"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Play the human who corrects persons, with the boxes of JHMDB.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("split", help="clips to correct and clips to measure")
    one.add_argument("jhmdb", type=Path, metavar="DATA", help="folder with labels.csv and the clips")
    one.add_argument("--actions", nargs="+", metavar="ACTION", help="(default: all)")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the folders train and val")
    one.set_defaults(work=split)
    one = commands.add_parser("correct", help="correct a task of CVAT")
    one.add_argument("annotations", type=Path, metavar="FILE", help="annotations.xml, CVAT for images 1.1")
    one.add_argument("--boxes", type=Path, required=True, metavar="FILE", help="boxes.csv")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="the corrected annotations")
    one.set_defaults(work=correct)
    one = commands.add_parser("found", help="in how many frames the person is found")
    one.add_argument("parses", nargs="+", type=Path, metavar="DIR", help="parses of the clips, before and after")
    one.add_argument("--boxes", type=Path, required=True, metavar="FILE", help="boxes.csv")
    one.set_defaults(work=found)
    for one in commands.choices.values():
        add_output_options(one)
    return parser


def main(arguments: argparse.Namespace) -> int:
    arguments.work(arguments)
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
