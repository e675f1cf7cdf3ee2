"""Clips made of labelled videos and of photographs, for `make_action_set.py`: whole frames, tubes of persons, scenes, stills."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from teachers.networks import Yolox

from parsing.datasets.csv_tables import read_rows
from parsing.geometry import Crop, box_ious
from parsing.media.sources import open_source
from parsing.types import Array
from pipelines.parse.tubes import square_around

SHORT_SIDE_PX, CRF, FPS = 144, 27, 30
NONE = "none"
PIECE = 75  # frames of a training clip that is cut from a longer one
MOST_FRAMES = 150  # of a validation clip
DETECTIONS, MIN_PERSON, EXPAND = 3, 0.3, 1.3  # frames of a clip in which its person is looked for; see `TrackActionsConfig`
KEY_FRAMES, LEAST_CROPS = 3, 5
FREE_SHARE = 0.42  # of a frame's width, beside all persons, that makes a scene
STILL_FRAMES, STILL_WINDOW = 24, (0.45, 0.95)


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


@dataclass(frozen=True)
class Source:
    """What clips are made of, and how the first of them is labelled and called.

    Args:
        has_scene: whether what lies beside the person becomes a clip too.
    """

    path: Path
    clip: Clip
    has_scene: bool = False


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
            chosen = boxes[(box_ious(followed[-1][1][None], boxes)[0] + 1e-6 * sizes if followed else sizes).argmax()]
            followed.append((int(place), chosen))
    if len(followed) <= len(places) / 2:
        return None
    at, corners = np.array([place for place, _ in followed]), np.stack([box for _, box in followed])
    return np.stack([np.interp(np.arange(num_frames), at, corners[:, side]) for side in range(4)], 1)


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
