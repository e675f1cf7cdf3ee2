#!/usr/bin/env python3
"""A small low-resolution, multi-label, long-tailed set from labelled clips, to try the low-resolution branch on.

    python scripts/make_lowres_set.py --labels DATA/actions/labels.csv --out runs/lowres_set
    python scripts/make_lowres_set.py --labels runs/actions/labels.csv --train 1600 --val 400 --out runs/lowres_actions   # see below

The second takes the set of scripts/make_action_set.py, of whose whole videos the shipped networks were trained.

It is a made-up set: high-resolution clips are shrunk, several of them may share one frame. Figures on it say whether
the code works and which method is better here, nothing about surveillance video.

Sources: training clips that weights may be shipped from; validation clips of the CSV's `val`, the scene-disjoint ones
where a class has them, and none whose scene stands in `train`. Classes without a source in both splits are left out.
`no_fight` and `none` are called `misc`: something else, which stays true beside a fight. What else a clip shows, such as
passers-by who walk, is not labelled. Where the CSV has a column `kind`, whole frames (`frame`) alone are used.

Composition: a clip has one to three labels (60, 30, 10 %), one source for each, all of one split. Several sources play
`beside` each other (or above, whichever is nearer to a square) or one `after` the other. The number of clips that show
a class falls with its rank by training sources as rank ** -EXPONENT.

Degradation of a window of a source: cropped to where 90 % of its motion lies, mirrored at random, blurred, shrunk by
area to a short side of 10 to 112 px (35 % of the clips 104 to 112, the others uniform from 10 to 90, which is what the
reports on real data show), Gaussian noise, H.264 4:2:0 at a random CRF. `sources.csv` says what each clip was made of.

Still pictures are not used as background: a panel that does not move would tell that it has no label.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from matplotlib.figure import Figure

from parsing.measures.pictures import save_png
from parsing.media.sources import open_source
from parsing.types import Array

NUM_LABELS, LABEL_SHARES = (1, 2, 3), (0.6, 0.3, 0.1)
EXPONENT = 1.0
NAMES = {"no_fight": "misc", "none": "misc"}
FPS = 25
SECONDS = {1: (2.0, 4.0), 2: (1.2, 2.0), 3: (0.9, 1.35)}  # of a source that plays `after` others, by their number
SMALLEST_BESIDE_PX = 40  # of a clip's short side; below it several panels would have a few pixels each
CROP_MOTION, CROP_MARGIN, SMALLEST_CROP = (0.05, 0.95), 0.15, 0.6
ASPECTS = (0.75, 1.34)
BLUR, NOISE, CRF = (0.2, 0.7), (0.0, 8.0), (20, 34)  # blur in pixels of the shrunk picture
SHEET_ROWS, SHEET_COLUMNS = 6, 10
MOST_NAME = 80  # letters of a source in the name of a folder, which file systems bound


@dataclass(frozen=True)
class Source:
    """A labelled clip."""

    path: Path
    label: str
    scene: str


@dataclass(frozen=True)
class Recipe:
    """What a clip is made of."""

    clip_id: str
    sources: tuple[Source, ...]
    layout: str
    short_side_px: int
    blur_px: float
    noise: float
    crf: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a small low-resolution, multi-label, long-tailed set from labelled clips.")
    parser.add_argument("--labels", type=Path, required=True, help="CSV: file, label, scene, scene_disjoint, split, for_shipped_weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=800, metavar="N", help="clips to make")
    parser.add_argument("--val", type=int, default=250, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    sources = read_sources(arguments.labels)
    arguments.out.mkdir(parents=True)  # never into a folder that is there
    class_map = {name: i for i, name in enumerate(sorted(sources["train"]))}
    (arguments.out / "class_map.json").write_text(json.dumps(class_map, indent=1) + "\n", encoding="utf-8")
    recipes: dict[str, list[Recipe]] = {}
    clips: dict[str, list[dict]] = {}
    for number, split in enumerate(("train", "val")):
        random = np.random.default_rng([arguments.seed, number])
        recipes[split] = plan(
            sources[split], long_tail(sources["train"]), getattr(arguments, split), sum(map(len, recipes.values())), random
        )
        clips[split] = [write_clip(recipe, arguments.out / "videos" / split, arguments.seed) for recipe in recipes[split]]
        (arguments.out / f"lowres_{split}.json").write_text(json.dumps(clips[split], indent=1) + "\n", encoding="utf-8")
        print(f"{split}: {len(clips[split])} clips", flush=True)
    write_sources(arguments.out / "sources.csv", recipes)
    text = readme(clips, sources, arguments.labels)
    (arguments.out / "README.txt").write_text(text, encoding="utf-8")
    save_png(contact_sheet(clips["train"], arguments.out / "videos" / "train"), arguments.out / "contact_sheet.png")
    print(text)


def read_sources(labels: Path) -> dict[str, dict[str, list[Source]]]:
    """Split to class to its sources; what is kept is said above."""
    with labels.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("kind", "frame") == "frame"]
    train = [r for r in rows if r["split"] == "train" and r["for_shipped_weights"] != "no"]
    scenes = {r["scene"] for r in train}
    val = [r for r in rows if r["split"] == "val" and r["scene"] not in scenes]
    disjoint = {r["label"] for r in val if r["scene_disjoint"] == "yes"}
    val = [r for r in val if r["scene_disjoint"] == "yes" or r["label"] not in disjoint]
    both = {r["label"] for r in train} & {r["label"] for r in val}
    found: dict[str, dict[str, list[Source]]] = {"train": defaultdict(list), "val": defaultdict(list)}
    for split, kept in (("train", train), ("val", val)):
        for row in (r for r in kept if r["label"] in both):
            name = NAMES.get(row["label"], row["label"])
            found[split][name].append(Source(labels.parent / row["file"], name, row["scene"]))
    return found


def long_tail(sources: dict[str, list[Source]]) -> dict[str, float]:
    """Share of each class among all labels."""
    ranked = sorted(sources, key=lambda name: (-len(sources[name]), name))
    weights = np.arange(1, len(ranked) + 1) ** -EXPONENT
    return dict(zip(ranked, (weights / weights.sum()).tolist(), strict=True))


def plan(
    sources: dict[str, list[Source]], shares: dict[str, float], num_clips: int, first: int, random: np.random.Generator
) -> list[Recipe]:
    """Recipes whose labels use up each class's share; every source of a class is taken once before any comes again."""
    counts = np.sort(random.choice(NUM_LABELS, num_clips, p=LABEL_SHARES))[::-1]  # first where every class is still there
    names = list(shares)
    left = np.maximum(1, np.round(np.array([shares[name] for name in names]) * counts.sum()))
    decks: dict[str, list[Source]] = {name: [] for name in names}
    drawn = []
    for count in counts:
        chosen = random.choice(len(names), min(int(count), int((left > 0).sum())), replace=False, p=left / left.sum())
        left[chosen] -= 1
        for name in (names[i] for i in chosen):
            decks[name] = decks[name] or [sources[name][i] for i in random.permutation(len(sources[name]))]
        drawn.append(tuple(decks[names[i]].pop() for i in chosen))
        if not left.any():
            break
    order = random.permutation(len(drawn))
    return [recipe(f"{first + number:05d}", drawn[i], random) for number, i in enumerate(order)]


def recipe(clip_id: str, sources: tuple[Source, ...], random: np.random.Generator) -> Recipe:
    large = random.random() < 0.35
    short_side = int(random.integers(104, 113) if large else random.integers(10, 91))
    beside = len(sources) > 1 and short_side >= SMALLEST_BESIDE_PX and random.random() < 0.6
    layout = "single" if len(sources) == 1 else "beside" if beside else "after"
    blur, noise, crf = random.uniform(*BLUR), random.uniform(*NOISE), int(random.integers(CRF[0], CRF[1] + 1))
    return Recipe(clip_id, sources, layout, short_side, round(blur, 3), round(noise, 3), crf)


def write_clip(recipe: Recipe, folder: Path, seed: int) -> dict:
    """Make the video; its annotation."""
    random = np.random.default_rng([seed, int(recipe.clip_id)])
    together = 1 if recipe.layout == "beside" else len(recipe.sources)
    seconds = random.uniform(*SECONDS[together])
    windows = [window(source, round(seconds * FPS), recipe.short_side_px, random) for source in recipe.sources]
    frames = degraded(beside(windows) if recipe.layout == "beside" else after(windows), recipe, random)
    video_id = "+".join(source.path.stem[:MOST_NAME] for source in recipe.sources)
    path = f"{video_id}/{recipe.clip_id}.mp4"
    (folder / video_id).mkdir(parents=True, exist_ok=True)
    encode(frames, folder / path, recipe.crf)
    labels = sorted(source.label for source in recipe.sources)
    return {"id": recipe.clip_id, "video_id": video_id, "path": path, "dim": list(frames.shape[:3]), "label": labels}


def window(source: Source, num_frames: int, short_side_px: int, random: np.random.Generator) -> Array:
    """(T, H, W, 3) of a source at FPS: of three random windows the one with the most motion, cropped to it."""
    shown = [(frame.time_s, frame.image) for frame in open_source(source.path).frames()]
    times = np.array([time for time, _ in shown])
    wanted = np.arange(0, times[-1] + 0.5 / FPS, 1 / FPS)
    images = np.stack([image for _, image in shown])
    green = images[..., 1]
    motion = np.stack([cv2.absdiff(now, before) for now, before in zip(green, (green[0], *green), strict=False)])
    at = np.clip(np.searchsorted(times, wanted + 1e-6, side="right") - 1, 0, len(times) - 1)
    energy = motion.mean((1, 2))[at]
    starts = random.integers(0, max(1, len(at) - num_frames + 1), 3)
    start = max(starts, key=lambda s: float(energy[s : s + num_frames].mean()))
    at = at[start : start + num_frames]
    top, bottom, left, right = motion_crop(motion[at].mean(0, dtype=np.float32), short_side_px)
    picked = images[at, top:bottom, left:right]
    return picked[:, :, ::-1] if random.random() < 0.5 else picked


def motion_crop(motion: Array, short_side_px: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of most of the motion; no side shorter than the clip's short side, where the frame allows."""
    still = np.maximum(cv2.GaussianBlur(motion, (0, 0), 3) - np.median(motion), 0)
    spans = []
    for axis, size in ((1, motion.shape[0]), (0, motion.shape[1])):
        cumulated = np.cumsum(still.sum(axis))
        low, high = np.searchsorted(cumulated, np.array(CROP_MOTION) * cumulated[-1])
        spans.append(((low + high) / 2, (high - low + 1) * (1 + 2 * CROP_MARGIN), size))
    smallest = max(SMALLEST_CROP * min(motion.shape), short_side_px)
    height, width = (max(length, smallest) for _, length, _ in spans)
    height, width = max(height, width / ASPECTS[1]), max(width, height * ASPECTS[0])
    edges = []
    for (centre, _, size), length in zip(spans, (height, width), strict=True):
        whole = min(size, round(length))
        start = int(np.clip(round(centre - whole / 2), 0, size - whole))
        edges += [start, start + whole]
    return edges[0], edges[1], edges[2], edges[3]


def beside(windows: list[Array]) -> Array:
    """Windows in one frame for as long as the shortest lasts, in a row or a column, whichever is nearer to a square."""
    windows = [window[: min(map(len, windows))] for window in windows]
    row_aspect = sum(w.shape[2] / w.shape[1] for w in windows)
    column_aspect = 1 / sum(w.shape[1] / w.shape[2] for w in windows)
    axis = 2 if abs(np.log(row_aspect)) < abs(np.log(column_aspect)) else 1  # along which they are joined
    across = min(w.shape[3 - axis] for w in windows)
    sizes = [(w.shape[2] * across // w.shape[1], across) if axis == 2 else (across, w.shape[1] * across // w.shape[2]) for w in windows]
    return np.concatenate([resized(w, size) for w, size in zip(windows, sizes, strict=True)], axis)


def after(windows: list[Array]) -> Array:
    """Windows one after the other, in the shape of the first."""
    size = windows[0].shape[2], windows[0].shape[1]
    return np.concatenate([resized(window, size) for window in windows])


def degraded(frames: Array, recipe: Recipe, random: np.random.Generator) -> Array:
    """(T, h, w, 3) uint8: blurred, shrunk by area to even sides, with noise."""
    height, width = frames.shape[1:3]
    scale = min(1.0, recipe.short_side_px / min(height, width))
    size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
    blurred = [cv2.GaussianBlur(np.ascontiguousarray(frame), (0, 0), recipe.blur_px / scale) for frame in frames]
    small = resized(np.stack(blurred), size)
    return np.clip(np.round(small + random.normal(0, recipe.noise, small.shape)), 0, 255).astype(np.uint8)


def resized(frames: Array, size: tuple[int, int]) -> Array:
    return np.stack([cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA) for frame in frames])


def encode(frames: Array, path: Path, crf: int) -> None:
    """H.264 in mp4; one thread, so that the same frames give the same file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "veryfast", "threads": "1", "bf": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))


def write_sources(path: Path, recipes: dict[str, list[Recipe]]) -> None:
    facts = ("layout", "short_side_px", "blur_px", "noise", "crf")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", *facts, "scenes", "sources"])
        for split, recipe in ((split, recipe) for split, found in recipes.items() for recipe in found):
            files = " ".join(f"{source.path.parent.name}/{source.path.name}" for source in recipe.sources)
            scenes = " ".join(source.scene for source in recipe.sources)
            writer.writerow([recipe.clip_id, split, *(getattr(recipe, name) for name in facts), scenes, files])


def readme(clips: dict[str, list[dict]], sources: dict[str, dict[str, list[Source]]], labels: Path) -> str:
    """Counts for each class: clips that show it, and the source clips they were made of."""
    shown = {split: Counter(name for clip in found for name in clip["label"]) for split, found in clips.items()}
    lines = [f"Made by scripts/make_lowres_set.py from {labels.name}. Clips are shrunk and combined from others; see the script.", ""]
    for split, found in clips.items():
        sides = [min(clip["dim"][1:]) for clip in found]
        numbers = sorted(Counter(len(clip["label"]) for clip in found).items())
        lines.append(
            f"{split}: {len(found)} clips, {', '.join(f'{n} of {k} labels' for k, n in numbers)}; short side {min(sides)} to "
            f"{max(sides)} px, mean {np.mean(sides):.0f}; {np.mean([clip['dim'][0] for clip in found]) / FPS:.1f} s on average"
        )
    lines += ["", f"{'class':<20}{'train clips':>12}{'of sources':>12}{'val clips':>12}{'of sources':>12}"]
    for name in sorted(shown["train"], key=lambda name: -shown["train"][name]):
        columns = [(shown[split][name], len(sources[split][name])) for split in ("train", "val")]
        lines.append(f"{name:<20}" + "".join(f"{n:>12}{of:>12}" for n, of in columns))
    lines += ["", "Most classes have one or two sources in val: a figure of such a class says little, whatever its number of clips."]
    return "\n".join(lines) + "\n"


def contact_sheet(clips: list[dict], folder: Path) -> Figure:
    """The middle frames of the first clips under their labels."""
    figure = Figure(figsize=(2 * SHEET_COLUMNS, 2.2 * SHEET_ROWS), layout="constrained")
    for i, clip in enumerate(clips[: SHEET_ROWS * SHEET_COLUMNS]):
        axes = figure.add_subplot(SHEET_ROWS, SHEET_COLUMNS, i + 1)
        middle = clip["dim"][0] // 2
        axes.imshow(open_source(folder / clip["path"]).at([middle])[middle].image, interpolation="nearest")
        axes.set_title(f"{clip['id']} {clip['dim'][2]}x{clip['dim'][1]}\n" + ", ".join(clip["label"]), fontsize=7)
        axes.set_axis_off()
    return figure


if __name__ == "__main__":
    main()
