#!/usr/bin/env python3
"""Make the clips that the default recognizers are trained on: everyday and sports actions, tubes of persons, and background.

    python scripts/make_action_set.py --jhmdb DATA/jhmdb --actions DATA/actions --people DATA/people --scenes DATA/empty_scenes \
        --yolox yolox_nano.onnx --out runs/actions

Every row of `labels.csv` is a clip of at most 144 px on its short side. `kind` says what it shows: `frame`, the whole picture;
`tube`, the person of the same clip, as `track_actions` of a pipeline cuts it out, at every third frame; `still`, a window that moves
over a photograph; `scene`, a part of a clip in which nobody is. `scene` is the video, place or photograph that a clip was made of; none
stands in both splits where the data sets keep them apart (`scene_disjoint`), and the splits are theirs.

Actions are JHMDB's 21 and those of the other clips that weights may be trained on. Names for the same action are joined (`SAME`).
`none` holds what shows none of them: photographs, scenes, a few clips of other actions; in `val` also falls and push-ups, which no
training sees. `no_fight` stays a class of its own beside it. Beside `labels.csv` lie tables of some of its validation clips alone:
`jhmdb.csv`, `jhmdb_tubes.csv`, `videos.csv` (whole pictures of videos, actions or not) and `tubes.csv`. `whole.csv` has the
labels of the videos as they were given, whole and in their own size, and of the photographs' clips: actions from parts learn from
parses of these. About eight minutes of one CPU core. A folder that is not finished is gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path

from action_clips import NONE, Clip, Maker, Source

from parsing.datasets.csv_tables import read_rows
from parsing.files import atomic

NO_FIGHT = "no_fight"
SAME = {
    "wave_one_hand": "wave",
    "wave_two_hands": "wave",
    "jump_in_place": "jump",
    "skip": "jump",
    "bend": "pick",
    "basketball": "shoot_ball",
    "golf_swing": "golf",
    "handclapping": "clap",
    "baseball_pitch": "throw",
}
OTHERS = {"gallop_sideways": "train", "tennis": "train", "soccer_match": "train", "fall": "val", "push_up": "val"}  # of `none`
CROWDED = ("fight", NO_FIGHT)  # whose persons are often too small to be found
STILLS = {
    "train": {"exercise": 70, "street": 80, "coco": 60, "pennfudan": 15},
    "val": {"exercise": 20, "street": 20, "pennfudan": 5, "fashion": 30},
}
PRACTISED = ("push", "pull", "chin", "bench", "jump", "throw", "run", "walk", "swing", "rope", "sit", "step", "climb")  # in exercises


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the clips that the default recognizers are trained on.")
    parser.add_argument("--jhmdb", type=Path, required=True, help="folder with labels.csv, boxes.csv and clips")
    parser.add_argument("--actions", type=Path, required=True, help="folder with labels.csv and clips")
    parser.add_argument("--people", type=Path, required=True, help="folder with images/ and annotations of both splits")
    parser.add_argument("--scenes", type=Path, required=True, help="folder with images/ and annotations.json")
    parser.add_argument("--yolox", type=Path, required=True, help="yolox_nano.onnx, which finds the persons of clips without boxes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = arguments.out / "made.jsonl"
    made = made_before(record)
    wanted = [*photographs(arguments.people, arguments.scenes), *sources(arguments.jhmdb, arguments.actions)]
    left = wanted[len(made) :]  # each source has its line, in this order
    start = partial(Maker.start, arguments.out, arguments.yolox, arguments.jhmdb / "boxes.csv")
    with ProcessPoolExecutor(arguments.processes, initializer=start) as pool, record.open("a", encoding="utf-8") as log:
        for rows in pool.map(Maker.make, left):
            made.append([astuple(row) for row in rows])
            log.write(json.dumps(made[-1]) + "\n")
            log.flush()
    write_tables(arguments.out, [Clip(*row) for rows in made for row in rows], [source.clip for source in wanted])


def made_before(record: Path) -> list[list[list[object]]]:
    """The rows of each source that is done; a line that was cut off, as its writer was killed, leaves the file."""
    text = record.read_text(encoding="utf-8") if record.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with atomic(record) as temporary:
            temporary.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def sources(jhmdb: Path, actions: Path) -> Iterator[Source]:
    """Every labelled clip that is used; the first of each scene gives a clip of what lies beside its person."""
    seen = {(NONE, ""), *((label, "") for label in CROWDED)}
    for path, clip in labelled(jhmdb, actions):
        key = (clip.split, clip.scene)
        yield Source(path, clip, key not in seen and (clip.label, "") not in seen)
        seen.add(key)


def labelled(jhmdb: Path, actions: Path) -> Iterator[tuple[Path, Clip]]:
    """Clips that may be used, under the name that their whole frames get."""
    for _, row in read_rows(jhmdb / "labels.csv", ("file", "label", "split", "source_video")):
        yield jhmdb / row["file"], Clip(row["file"], row["label"], row["split"], "frame", f"jhmdb/{row['label']}/{row['source_video']}")
    for _, row in read_rows(actions / "labels.csv", ("file", "label", "split", "scene", "scene_disjoint", "for_shipped_weights")):
        label, split, shipped = row["label"], OTHERS.get(row["label"], row["split"]), row["for_shipped_weights"]
        label = NONE if label in OTHERS else SAME.get(label, label)
        if split == "extra" and row["label"] in SAME:
            split = "train"
        if split == "val" or (split == "train" and shipped != "no"):
            yield (
                actions / row["file"],
                Clip(f"{label}/{Path(row['file']).name}", label, split, "frame", f"scene/{row['scene']}", row["scene_disjoint"], shipped),
            )


def photographs(people: Path, scenes: Path) -> Iterator[Source]:
    """Stills of people and of empty scenes, drawn in the order of a hash of their names; every fourth scene is held out."""
    for split, wanted in STILLS.items():
        images = json.loads((people / f"annotations_{split}.json").read_text(encoding="utf-8"))["images"]
        shown: Counter[str] = Counter()
        for image in sorted(images, key=lambda image: zlib.crc32(image["file_name"].encode())):
            kind, exercise = image["source"], image.get("exercise") or ""
            if shown[kind] < wanted.get(kind, 0) and not any(word in exercise for word in PRACTISED):
                shown[kind] += 1
                yield Source(people / "images" / image["file_name"], still(image["file_name"], split))
    names = sorted(image["file_name"] for image in json.loads((scenes / "annotations.json").read_text(encoding="utf-8"))["images"])
    for number, name in enumerate(names):
        yield Source(scenes / "images" / name, still(f"scene_{name}", "train" if number % 4 else "val"))


def still(name: str, split: str) -> Clip:
    return Clip(f"{NONE}/{Path(name).stem}.mp4", NONE, split, "still", f"photo/{Path(name).stem}")


def write_tables(out: Path, clips: list[Clip], whole: list[Clip]) -> None:
    val = [clip for clip in clips if clip.split == "val"]
    of_jhmdb = [clip for clip in val if clip.scene.startswith("jhmdb") and clip.label != NONE]
    tables = {
        "labels": clips,
        "whole": whole,
        "jhmdb": [clip for clip in of_jhmdb if clip.kind == "frame"],
        "jhmdb_tubes": [clip for clip in of_jhmdb if clip.kind == "tube"],
        "videos": [clip for clip in val if clip.kind == "frame"],
        "tubes": [clip for clip in val if clip.kind == "tube"],
    }
    for name, rows in tables.items():
        with atomic(out / f"{name}.csv") as file, file.open("w", newline="", encoding="utf-8") as text:
            writer = csv.writer(text)
            writer.writerow([column.name for column in fields(Clip)])
            writer.writerows(astuple(row) for row in rows)
    for key, number in sorted(Counter((clip.split, clip.kind) for clip in clips).items()):
        print(*key, number)
    for label in sorted({clip.label for clip in clips}):
        print(label, *(sum(c.label == label and c.split == split and c.kind != "tube" for c in clips) for split in ("train", "val")))


if __name__ == "__main__":
    main()
