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
`jhmdb.csv`, `jhmdb_tubes.csv`, `videos.csv` (whole pictures of videos, actions or not) and `tubes.csv`. About eight minutes of one
CPU core. A folder that is not finished is gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from teachers.networks import Yolox

from parsing.datasets.csv_tables import read_rows
from parsing.files import atomic
from parsing.geometry import Crop
from parsing.media.sources import open_source
from parsing.types import Array
from pipelines.parse.tubes import square_around

SHORT_SIDE_PX, CRF, FPS = 144, 27, 30
NONE, NO_FIGHT = "none", "no_fight"
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
PIECE = 75  # frames of a training clip that is cut from a longer one
MOST_FRAMES = 150  # of a validation clip
DETECTIONS, MIN_PERSON, EXPAND = 3, 0.3, 1.3  # frames of a clip in which its person is looked for; see `TrackActionsConfig`
KEY_FRAMES, LEAST_CROPS = 3, 5
FREE_SHARE = 0.42  # of a frame's width, beside all persons, that makes a scene
CROWDED = ("fight", NO_FIGHT)  # whose persons are often too small to be found
STILLS = {
    "train": {"exercise": 70, "street": 80, "coco": 60, "pennfudan": 15},
    "val": {"exercise": 20, "street": 20, "pennfudan": 5, "fashion": 30},
}
STILL_FRAMES, STILL_WINDOW = 24, (0.45, 0.95)
PRACTISED = ("push", "pull", "chin", "bench", "jump", "throw", "run", "walk", "swing", "rope", "sit", "step", "climb")  # in exercises


@dataclass(frozen=True)
class Clip:
    """A row of `labels.csv`."""

    file: str
    label: str
    split: str
    kind: str
    scene: str
    scene_disjoint: str = "yes"
    for_shipped_weights: str = "research"


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
    made = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []
    wanted = [*photographs(arguments.people, arguments.scenes), *sources(arguments.jhmdb, arguments.actions)]
    left = wanted[len(made) :]  # each source has its line, in this order
    start = partial(Maker.start, arguments.out, arguments.yolox, arguments.jhmdb / "boxes.csv")
    with ProcessPoolExecutor(arguments.processes, initializer=start) as pool, record.open("a", encoding="utf-8") as log:
        for rows in pool.map(Maker.make, left):
            made.append([astuple(row) for row in rows])
            log.write(json.dumps(made[-1]) + "\n")
            log.flush()
    write_tables(arguments.out, [Clip(*row) for rows in made for row in rows])


@dataclass(frozen=True)
class Source:
    """What clips are made of, and how the first of them is labelled and called.

    Args:
        has_scene: whether what lies beside the person becomes a clip too.
    """

    path: Path
    clip: Clip
    has_scene: bool = False


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


def read_boxes(path: Path) -> dict[str, dict[int, Array]]:
    """The person of each frame of JHMDB's validation clips, by file; frames are counted at 25 a second."""
    boxes: dict[str, dict[int, Array]] = {}
    for _, row in read_rows(path, ("file", "frame", "x1", "y1", "x2", "y2")):
        boxes.setdefault(row["file"], {})[int(row["frame"])] = np.array([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
    return boxes


class Maker:
    """Writes the clips that are made of a source; each process has one."""

    here: Maker

    def __init__(self, out: Path, yolox: Path, boxes: Path) -> None:
        self.out, self.yolox, self.boxes = out, Yolox(yolox), read_boxes(boxes)

    @classmethod
    def start(cls, out: Path, yolox: Path, boxes: Path) -> None:
        cv2.setNumThreads(1)
        cls.here = cls(out, yolox, boxes)

    @classmethod
    def make(cls, source: Source) -> list[Clip]:
        return [cls.here.still(source)] if source.clip.kind == "still" else list(cls.here.moving(source))

    def moving(self, source: Source) -> Iterator[Clip]:
        """Whole frames, the tube of the person, and the scene beside it."""
        clip, (frames, fps) = source.clip, decoded(source.path)
        num = 1 if clip.split == "val" else max(1, round(len(frames) / PIECE))
        for number in range(num):
            part = frames[number * PIECE : (number + 1) * PIECE] if num > 1 else frames[:MOST_FRAMES]
            stem = Path(clip.file).stem + (f"_part{number}" if num > 1 else "")
            yield self.write(clip, stem, "frame", small(part), fps)
            places = np.linspace(0, len(part) - 1, DETECTIONS).round().astype(int)
            boxes = self.given(clip.file, len(part))
            persons = [self.persons(part[place]) for place in places] if boxes is None else [boxes]
            boxes = main_person(persons, places, len(part)) if boxes is None else boxes
            if boxes is not None and len(part) >= LEAST_CROPS * KEY_FRAMES:
                yield self.write(clip, f"{stem}_tube", "tube", tube(part, boxes), fps / KEY_FRAMES)
            free = beside(persons, part.shape[2]) if source.has_scene and number == 0 else None
            if free is not None:
                yield self.write(replace(clip, label=NONE), f"{clip.label}_{stem}_scene", "scene", small(part[:, :, free]), fps)

    def persons(self, image: Array) -> Array:
        found = self.yolox(image)
        return found.xyxy[found.scores > MIN_PERSON]

    def given(self, file: str, num_frames: int) -> Array | None:
        """(T, 4) annotated boxes at the times of the frames; None where there are none."""
        known = self.boxes.get(file)
        if not known:
            return None
        places = sorted(known)
        times = np.linspace(places[0], places[-1], num_frames)
        return np.stack([known[places[i]] for i in np.abs(times[:, None] - np.array(places)).argmin(1)])

    def still(self, source: Source) -> Clip:
        """A window that moves over a photograph: pans, zooms and trembles as a hand does."""
        random = np.random.default_rng(zlib.crc32(source.path.name.encode()))
        image = cv2.imread(str(source.path))[:, :, ::-1]
        return self.write(source.clip, Path(source.clip.file).stem, "still", moving_window(image, random), FPS)

    def write(self, clip: Clip, stem: str, kind: str, frames: Array, fps: float) -> Clip:
        made = replace(clip, file=f"{clip.label}/{stem}.mp4", kind=kind)
        (self.out / made.file).parent.mkdir(exist_ok=True)
        encode(frames, self.out / made.file, fps)
        return made


def decoded(path: Path) -> tuple[Array, float]:
    source = open_source(path)
    shown = list(source.frames())
    fps = (len(shown) - 1) / shown[-1].time_s if len(shown) > 1 else FPS
    return np.stack([frame.image for frame in shown]), fps


def main_person(persons: list[Array], places: Array, num_frames: int) -> Array | None:
    """(T, 4) the largest person of the first picture that shows one, followed by overlap; None where most pictures lose it."""
    followed: list[tuple[int, Array]] = []
    for place, boxes in zip(places, persons, strict=True):
        if len(boxes):
            sizes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
            chosen = boxes[(overlaps(followed[-1][1], boxes) + 1e-6 * sizes if followed else sizes).argmax()]
            followed.append((int(place), chosen))
    if len(followed) <= len(places) / 2:
        return None
    at, corners = np.array([place for place, _ in followed]), np.stack([box for _, box in followed])
    return np.stack([np.interp(np.arange(num_frames), at, corners[:, side]) for side in range(4)], 1)


def overlaps(box: Array, boxes: Array) -> Array:
    """(N,) intersection over union of a (4,) box with (N, 4) others."""
    shared = np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared)


def tube(frames: Array, boxes: Array) -> Array:
    """(T / 3, S, S, 3) squares around (T, 4) boxes, whose way is smoothed."""
    keys = range(0, len(frames), KEY_FRAMES)
    squares = np.stack([square_around(boxes[key], EXPAND, frames.shape[1:3]) for key in keys])
    padded = np.pad(squares, [(1, 1), (0, 0)], mode="edge")
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    size = int(min(SHORT_SIDE_PX, max(64, 2 * round(float(smooth[:, 2].max()) / 2))))
    crops = [Crop(*map(float, square), size).pixels(frames[key]) for key, square in zip(keys, smooth, strict=True)]
    return np.stack(crops)


def beside(persons: list[Array], width: int) -> slice | None:
    """Columns at the left or right border that nobody enters, where they are wide enough."""
    found = [boxes for boxes in persons if len(boxes)]
    if not found:
        return None
    every = np.concatenate(found)
    left, right = int(every[:, 0].min()) - 6, int(every[:, 2].max()) + 6
    free = slice(0, left) if left > width - right else slice(right, width)
    return free if free.stop - free.start >= FREE_SHARE * width else None


def moving_window(image: Array, random: np.random.Generator) -> Array:
    """(STILL_FRAMES, h, w, 3) of a window that goes from one rectangle to another."""
    height, width = image.shape[:2]
    ends = []
    aspect = random.choice([1.0, 4 / 3, 16 / 9])
    first = random.uniform(*STILL_WINDOW)
    for share in (first, float(np.clip(first * random.uniform(0.75, 1.3), *STILL_WINDOW))):
        h = share * min(height, width / aspect)
        ends.append([random.uniform(0, width - h * aspect), random.uniform(0, height - h), h])
    if random.random() < 0.3:
        ends[1] = ends[0]  # stands, but for the hand
    shares = np.linspace(0, 1, STILL_FRAMES)[:, None]
    tremble = np.cumsum(random.normal(0, random.uniform(0, 1.2), (STILL_FRAMES, 3)), 0) * (1, 1, 0.3)
    size = round(SHORT_SIDE_PX * aspect / 2) * 2, SHORT_SIDE_PX
    frames = []
    for x, y, h in np.array(ends[0]) * (1 - shares) + np.array(ends[1]) * shares + tremble:
        scale = SHORT_SIDE_PX / h
        warp = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
        frames.append(cv2.warpAffine(image, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(frames)


def small(frames: Array) -> Array:
    """(T, h, w, 3) with even sides, the short one of at most SHORT_SIDE_PX."""
    height, width = frames.shape[1:3]
    scale = min(1.0, SHORT_SIDE_PX / min(height, width))
    size = 2 * round(width * scale / 2), 2 * round(height * scale / 2)
    return np.stack([cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA) for frame in frames])


def encode(frames: Array, path: Path, fps: float) -> None:
    """H.264 in mp4; one thread, so that the same frames give the same file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=round(fps), options={"crf": str(CRF), "preset": "veryfast", "threads": "1", "bf": "0"}
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))


def write_tables(out: Path, clips: list[Clip]) -> None:
    val = [clip for clip in clips if clip.split == "val"]
    of_jhmdb = [clip for clip in val if clip.scene.startswith("jhmdb") and clip.label != NONE]
    tables = {
        "labels": clips,
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
