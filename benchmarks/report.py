"""How long a report takes to make and to open: `python benchmarks/report.py PARSE [--minutes 10] [--persons 5]`.

The frames of a parse are repeated, and its persons copied beside each other, until there are as many. The page is opened in
a headless Chromium (Debian's, Google's or Playwright's); what is told is the time from the start of loading until everything
is drawn, as the page itself measures it.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from parsing.document import ParseWriter, VideoParse, read_parse
from parsing.types import Detections, FrameParse, Parts, PartStates
from pipelines.report import build_parser
from pipelines.report import main as report


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parse", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--persons", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="HTML", help="keep the page here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        long, page = Path(folder) / "long.json", arguments.keep or Path(folder) / "report.html"
        write_long(read_parse(arguments.parse), long, arguments.minutes * 60, arguments.persons)
        started, used = time.perf_counter(), time.process_time()
        report(build_parser().parse_args([str(long), "--out", str(page), "--quiet", "--overwrite"]))
        taken = f"{time.perf_counter() - started:.1f} s ({time.process_time() - used:.1f} s of CPU)"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"parse {long.stat().st_size / 1e6:.1f} MB, page {page.stat().st_size / 1e6:.1f} MB, made in {taken}, peak {peak:.0f} MiB")
        print("opened in {:.2f} s ({:.2f} s of CPU)".format(*open_page(page)))


def write_long(parse: VideoParse, path: Path, duration_s: float, num_persons: int) -> None:
    """A parse of that length, with so many persons in every frame."""
    with ParseWriter(path, parse.vocabulary) as writer:
        for frame in repeated(parse, duration_s, num_persons):
            writer.add(frame)
        facts = replace(parse.facts, duration_s=duration_s, frames_decoded=frame.index + 1, frames_declared=frame.index + 1)
        writer.finish(replace(parse, facts=facts, frames=()))


def repeated(parse: VideoParse, duration_s: float, num_persons: int) -> Iterator[FrameParse]:
    frames = [frame for frame in parse.frames if len(frame.persons)]
    fps, every, random = parse.facts.fps, 3, np.random.default_rng(0)
    places = random.integers(len(frames), size=num_persons)
    for index in range(round(duration_s * fps)):
        # About once a second each copy jumps to another place of the parse, so nothing is periodic.
        jumps = random.random(num_persons) < 1 / fps
        places = np.where(jumps, random.integers(len(frames), size=num_persons), places + 1) % len(frames)
        rows = [frames[place] for place in places]
        shift = [np.array([copy * 40.0, 0, copy * 40.0, 0]) for copy in range(num_persons)]
        noise = random.normal(0, 2, (num_persons, 1 + len(parse.vocabulary.parts), 4))  # pixels
        boxes = noise[:, 0] + np.stack([one.persons.xyxy[0] + by for one, by in zip(rows, shift, strict=True)])
        parts = noise[:, 1:] + np.stack([one.parts.xyxy[0] + by for one, by in zip(rows, shift, strict=True)])
        scores, seen = (np.stack([getattr(one.parts, name)[0] for one in rows]) for name in ("scores", "visible"))
        persons = Detections(boxes, np.stack([one.persons.scores[0] for one in rows]), np.zeros(num_persons), np.arange(1, num_persons + 1))
        states = PartStates(np.stack([one.states.scores[0] for one in rows]))
        yield FrameParse(index, index / fps, persons, Parts(parts * seen[..., None], scores * seen, seen), states, index % every == 0)


def open_page(page: Path) -> tuple[float, float]:
    """Seconds until the page has drawn everything, and seconds of CPU that its process took in all."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.set_default_timeout(300_000)
        opened.goto(page.resolve().as_uri())
        opened.wait_for_selector("html[data-ready]", state="attached")
        taken = float(opened.evaluate("Number(document.documentElement.dataset.ready)")) / 1000
        client = opened.context.new_cdp_session(opened)
        client.send("Performance.enable")
        found = {one["name"]: one["value"] for one in client.send("Performance.getMetrics")["metrics"]}
        browser.close()
    return taken, found["ProcessTime"]


if __name__ == "__main__":
    main()
