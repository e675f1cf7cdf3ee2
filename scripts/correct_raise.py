"""Correct a task of CVAT as a person with a rule of their own would: an arm is raised where its hand is above the head.

python scripts/correct_raise.py task/annotations.xml --out task/corrected.xml

`raise` of an arm is ticked where the middle of its hand lies above the middle of the head, and unticked where it lies below; where
the hand or the head is not annotated, it stays. docs/correcting.md measures what a training learns from it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

sys.path.insert(0, str(Path(__file__).parents[1]))

from parsing.files import atomic
from parsing.xml_files import read_xml
from pipelines.command import add_output_options, claim, run_command


def main(arguments: argparse.Namespace) -> int:
    claim(arguments, [arguments.out], inputs=[arguments.annotations])
    root = read_xml(arguments.annotations)
    changed = [tick(arm, raised) for image in root.iterfind("image") for arm, raised in arms(image)]
    with atomic(arguments.out) as temporary:
        temporary.write_text(tostring(root, encoding="unicode"), encoding="utf-8")
    print(f"{arguments.out}: {sum(changed)} of {len(changed)} arms changed")
    return 0


def arms(image: Element) -> Iterator[tuple[Element, bool]]:
    """The arms of a picture of which hand and head are known, and whether they are raised."""
    boxes = {(box.get("group_id"), box.get("label")): box for box in image.iterfind("box")}
    for (group, label), box in boxes.items():
        if label in ("left_arm", "right_arm"):
            hand, head = boxes.get((group, label.replace("arm", "hand"))), boxes.get((group, "head"))
            if hand is not None and head is not None:
                yield box, middle(hand) < middle(head)


def middle(box: Element) -> float:
    """The height at which a box has its middle, in pixels from above."""
    return (float(box.attrib["ytl"]) + float(box.attrib["ybr"])) / 2


def tick(arm: Element, raised: bool) -> bool:
    """Set the state of an arm; whether that changes it."""
    state = next(one for one in arm.iterfind("attribute") if one.get("name") == "raise")
    before, state.text = state.text, "true" if raised else "false"
    return before != state.text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Correct a task of CVAT: an arm is raised where its hand is above the head.")
    parser.add_argument("annotations", type=Path, metavar="FILE", help="annotations.xml, CVAT for images 1.1")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the corrected annotations")
    add_output_options(parser)
    run_command(parser, main)
