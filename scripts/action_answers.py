#!/usr/bin/env python3
"""What a pipeline answers on labelled videos: `python scripts/action_answers.py PARSES --labels runs/actions/whole.csv`.

Of the videos whose parse lies in the folder (`a.mp4.json` of `a.mp4`): how often the most probable class of the first window is right;
of those of an action, how often the action that is reported is the right one; of those of none of them, how often one is reported.
The same of tracks, where a label counts for every person of its video.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from parsing.datasets.csv_tables import read_rows
from parsing.document import VideoParse, read_parse
from parsing.types import main_action

BACKGROUND = ("none", "no_fight")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a pipeline answers on labelled videos.")
    parser.add_argument("parses", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file, label and split")
    parser.add_argument("--split", default="val")
    parser.add_argument("--below", default="", metavar="TEXT", help="count videos alone whose `scene` begins so, such as jhmdb/")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    for _, row in read_rows(arguments.labels, ("file", "label", "split", "scene")):
        path = arguments.parses / f"{Path(row['file']).name}.json"
        if row["split"] == arguments.split and row["scene"].startswith(arguments.below) and path.is_file():
            count(counts, read_parse(path), row["label"])
    for name, of in (
        ("top-1", "videos"),
        ("right", "videos of an action"),
        ("answered", "videos of an action"),
        ("answered", "videos of none"),
    ):
        print(f"{of}: {name} {share(counts, name, of)}")
    for name, of in (("right", "tracks of an action"), ("answered", "tracks of an action"), ("answered", "tracks of none")):
        print(f"{of}: {name} {share(counts, name, of)}")


def count(counts: Counter[str], parse: VideoParse, label: str) -> None:
    kind = "of none" if label in BACKGROUND else "of an action"
    best = main_action(parse.actions)
    note(counts, f"videos {kind}", None if best is None else best.label, label)
    counts["videos"] += 1
    names = parse.vocabulary.actions
    counts["top-1 videos"] += bool(parse.action_windows) and names[int(parse.action_windows[0].probabilities.argmax())] == label
    tracks = {int(i) for frame in parse.frames if frame.persons.track_ids is not None for i in frame.persons.track_ids if i >= 0}
    for track in tracks:
        found = main_action(parse.track_actions.get(track, ()))
        note(counts, f"tracks {kind}", None if found is None else found.label, label)


def note(counts: Counter[str], kind: str, answer: str | None, label: str) -> None:
    counts[kind] += 1
    counts[f"answered {kind}"] += answer is not None
    counts[f"right {kind}"] += answer == label


def share(counts: Counter[str], name: str, of: str) -> str:
    return f"{counts[f'{name} {of}'] / max(1, counts[of]):.3f} of {counts[of]}"


if __name__ == "__main__":
    main()
