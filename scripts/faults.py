#!/usr/bin/env python3
"""Long runs against faults: `make faults`, or `python scripts/faults.py --out docs/faults.md [--flips N] [--kills N]`.

Bits are flipped in files of nine containers, and what `parsing.media` shows is held against a plain packet loop over the
same file; the parser is killed at random times; and it writes into a file system that is full. The table of what was tried
and what held goes to `--out`. No case may end in a traceback, a silent loss, or a changed input.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

import av
import av.error
import numpy as np
from builders import write_tiny_pipeline, write_video

from parsing.errors import InputError
from parsing.media.video import Video

CONTAINERS = {
    "mp4": "libx264", "fragmented.mp4": "libx264", "mov": "mpeg4", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4",
    "flv": "flv", "ts": "libx264", "mpg": "mpeg2video",
}  # fmt: skip
FRAMES = 60


@dataclass
class Row:
    """A line of the table: what was tried, how often, and every case that did not hold."""

    name: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)
    note: str = ""

    def check(self, holds: bool, case: str) -> None:
        self.tried += 1
        if not holds:
            self.broken.append(case)


def main() -> None:
    parser = argparse.ArgumentParser(description="Long runs against faults.")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the table, Markdown")
    parser.add_argument("--flips", type=int, default=40, metavar="N", help="damaged copies of each container (default: 40)")
    parser.add_argument("--kills", type=int, default=12, metavar="N", help="kills of a running parser (default: 12)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [flips(Path(folder), suffix, codec, arguments.flips) for suffix, codec in CONTAINERS.items()]
        rows += [kills(Path(folder), arguments.kills), full_disk(Path(folder))]
    arguments.out.write_text(table(rows, arguments.flips, arguments.kills), encoding="utf-8")
    broken = [f"{row.name}: {case}" for row in rows for case in row.broken]
    print(*broken, sep="\n")
    sys.exit(1 if broken else 0)


def flips(folder: Path, suffix: str, codec: str, count: int) -> Row:
    """Random bits of a file are flipped; at least what a packet loop shows must be shown, and a loss must be told."""
    noise = np.random.default_rng(0).integers(0, 255, (FRAMES, 96, 128, 3), np.uint8)
    options = {"movflags": "frag_keyframe+empty_moov"} if suffix.startswith("fragmented") else {}
    whole = write_video(folder / f"whole.{suffix}", list(noise), 25, codec=codec, container_options=options).read_bytes()
    row, fewer, more = Row(f"bit flips, {suffix} ({codec})"), 0, 0
    for seed in range(count):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.choice((1, 8, 64, 512))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path = folder / f"flipped.{suffix}"
        path.write_bytes(bytes(data))
        plain, problem = packet_loop(path), ""
        try:
            with Video(path) as video:
                shown = sum(1 for _ in video.frames())
            if shown < plain:
                problem = f"seed {seed}: {shown} frames, a packet loop shows {plain}"
            elif shown < FRAMES and video.complete is True:
                problem = f"seed {seed}: {shown} of {FRAMES} frames and called complete"
            fewer, more = fewer + (shown < FRAMES), more + (shown > plain)
        except InputError as error:
            problem = f"seed {seed}: refused, a packet loop shows {plain} ({error})" if plain else ""
        except Exception as error:
            problem = f"seed {seed}: {type(error).__name__}: {error}"
        row.check(not problem, problem)
    row.note = f"{fewer} with frames lost, {more} with more frames than a packet loop shows"
    return row


def packet_loop(path: Path) -> int:
    """Frames that a plain loop over packets shows, which goes on after each error of the decoder."""
    shown = 0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            container.streams.video[0].codec_context.thread_count = 1
            for packet in container.demux(container.streams.video[0]):
                try:
                    shown += len(packet.decode())
                except av.error.FFmpegError:
                    continue
    except (av.error.FFmpegError, AttributeError, IndexError, OSError, ValueError):  # no decoder, or no stream
        return shown
    return shown


def command(folder: Path, video: Path, out: Path) -> list[str]:
    config = write_tiny_pipeline(folder)
    return [sys.executable, "-m", "pipelines.run", str(video), "--out", str(out), "--config", str(config), "--overwrite", "--quiet"]


def kills(folder: Path, count: int) -> Row:
    """A run that is killed leaves the old file or the whole new one, and the video as it was."""
    row = Row("kill -9 at a random time")
    video = write_video(folder / "kill.mp4", [np.full((96, 128, 3), i % 250, np.uint8) for i in range(400)], 25)
    before, out = digest(video), folder / "kill.json"
    out.write_text("{}")
    started = time.monotonic()
    subprocess.run(command(folder, video, out), check=True)
    length = time.monotonic() - started
    for seed in range(count):
        process = subprocess.Popen(command(folder, video, out))
        time.sleep(random.Random(seed).uniform(0.2, 1.0) * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
        row.check(json.loads(out.read_text())["complete"] is True and digest(video) == before, f"seed {seed}")
    subprocess.run(command(folder, video, out), check=True)
    left = [path.name for path in folder.iterdir() if ".partwise" in path.name]
    row.check(not left, f"temporary files stay after the next run: {left}")
    return row


def full_disk(folder: Path) -> Row:
    """A file system of 256 KiB is full before the parse is written: one line that names the file, and nothing is left."""
    row, disk = Row("full disk"), folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        row.note = "not tried: this user may not mount a file system"
        return row
    try:
        (disk / "fill").write_bytes(bytes(240 * 1024))
        video = write_video(folder / "disk.mp4", [np.full((96, 128, 3), i % 250, np.uint8) for i in range(400)], 25)
        before = digest(video)
        done = subprocess.run(command(folder, video, disk / "out.json"), capture_output=True, text=True, check=False)
        lines = done.stderr.strip().splitlines()
        row.check(done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr, f"said {lines[:3]}")
        left = sorted(path.name for path in disk.iterdir())
        row.check(left == ["fill"] and digest(video) == before, f"left {left}")
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    return row


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def table(rows: list[Row], num_flips: int, num_kills: int) -> str:
    """The document, in Markdown."""
    lines = [
        "# Faults that were tried",
        "",
        f"Written by `python scripts/faults.py --out docs/faults.md --flips {num_flips} --kills {num_kills}`; `make faults` tries more.",
        "The quick cases, which run with every test, are the tables in `tests/faults/`.",
        "",
        "| what | tried | held | remarks |",
        "|---|---|---|---|",
    ]
    for row in rows:
        lines.append(f"| {row.name} | {row.tried} | {row.tried - len(row.broken)} | {'; '.join([row.note, *row.broken[:3]]).strip('; ')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
