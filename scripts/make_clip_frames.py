#!/usr/bin/env python3
"""Frames of labelled clips as a folder of pictures, so that the detectors learn from videos too.

    python scripts/make_clip_frames.py --labels DATA/jhmdb/labels.csv DATA/actions/labels.csv --out runs/clip_frames
    python scripts/label_people.py --people runs/clip_frames --yolox yolox_nano.onnx --models human/package/models \
        --blazepose blazepose/package --out runs/clip_people

The first command takes two frames of every clip to train on and the middle one of every clip of the first list's validation split;
the second one labels who is on them. About fifteen minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
from make_clip_set import wanted_clips

from parsing.files import atomic
from parsing.media.sources import open_source

AT = {"train": (1 / 4, 3 / 4), "val": (1 / 2,)}  # of a clip's length
FIRST_ID = 800_000_001
PERSON = {"id": 1, "name": "person"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Frames of labelled clips as a folder of pictures without annotations.")
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="CSV with file, label, split, for_shipped_weights if need be")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    first = arguments.labels[0].parent
    for split, places in AT.items():
        rows = [row for row in wanted_clips(arguments.labels) if row["split"] == split]
        clips = [Path(row["file"]) for row in rows if split == "train" or first in Path(row["file"]).parents]
        images = [image for clip in clips for image in write_frames(clip, places, arguments.out / "images")]
        numbered = [image | {"id": FIRST_ID + 100_000 * (split == "val") + i, "source": "clips"} for i, image in enumerate(images)]
        document = {"info": {"description": "frames of action clips"}, "images": numbered, "annotations": [], "categories": [PERSON]}
        with atomic(arguments.out / f"annotations_{split}.json") as file:
            file.write_text(json.dumps(document), encoding="utf-8")
        print(f"{split}: {len(images)} frames of {len(clips)} clips")


def write_frames(clip: Path, places: tuple[float, ...], folder: Path) -> list[dict]:
    """Image records of a clip's frames at these shares of its length."""
    with open_source(clip) as source:
        count = source.num_frames or 1
        frames = source.at(sorted({int(place * count) for place in places}))
    records = []
    for index, frame in sorted(frames.items()):
        name = f"{clip.parent.name}_{clip.stem}_{index}.jpg"
        cv2.imwrite(str(folder / name), frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        records.append({"file_name": name, "width": frame.image.shape[1], "height": frame.image.shape[0]})
    return records


if __name__ == "__main__":
    main()
