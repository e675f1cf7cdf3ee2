#!/usr/bin/env python3
"""Two workers of one core each against one, and the memory and delay of a live run: `python benchmarks/workers.py CLIP`.

`--videos N` copies of the clip are parsed by `pipelines.run --workers`, once with one core and one worker, once with two of
each; loading the networks is left out, as each worker's own time per video is in the manifest. `--live-s S` streams the clip over
and over by TCP into a live run, and reads its resident memory after the first and the last fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import av

from parsing.media.sources import open_source

PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description="Two workers over one, and the memory of a live run.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--live-s", type=float, default=120.0)
    parser.add_argument("--config", default="default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.videos:
            one, two = compare(arguments.clip, Path(folder), arguments.videos, arguments.config)
            print(f"1 worker, 1 core    {one:.3f} videos/s")
            print(f"2 workers, 1 each   {two:.3f} videos/s")
            print(f"ratio               {two / one:.2f}")
        if arguments.live_s:
            live(arguments.clip, Path(folder), arguments.live_s, arguments.config)


def compare(clip: Path, folder: Path, num_videos: int, config: str) -> tuple[float, float]:
    """Videos a second of one worker with one core and of two workers with one each."""
    videos = folder / "videos"
    videos.mkdir()
    for number in range(num_videos):
        shutil.copy(clip, videos / f"{number}{clip.suffix}")
    cores = sorted(os.sched_getaffinity(0))
    one, two = (rate(videos, folder / f"out{count}", count, cores[:count], config) for count in (1, 2))
    return one, two


def rate(videos: Path, out: Path, num_workers: int, cores: Sequence[int], config: str) -> float:
    """Videos a second while all workers are busy: workers over the mean time of a video."""
    command = [sys.executable, "-m", "pipelines.run", videos, "--out", out, "--workers", str(num_workers), "--quiet", "--config", config]
    subprocess.run(command, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return num_workers * len(records) / sum(record["seconds"] for record in records)


def live(clip: Path, folder: Path, seconds: float, config: str) -> None:
    """Print the resident memory early and late in a live run, and what it says of its delay."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=send, args=(server, clip, seconds + 5), daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        out = folder / "live.jsonl"
        command = [sys.executable, "-m", "pipelines.run", address, "--out", out, "--seconds", str(seconds), "--config", config]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            while not out.exists() and process.poll() is None:
                time.sleep(0.1)
            began, sizes = time.monotonic(), []
            while process.poll() is None:
                with suppress(OSError, ValueError):
                    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                    sizes.append((time.monotonic() - began, pages * PAGE / 2**20))
                time.sleep(0.5)
            assert process.stderr is not None
            print(process.stderr.read().strip().splitlines()[-1])
    first, last = (max(size for at_s, size in sizes if low <= at_s / seconds <= high) for low, high in ((0.1, 0.3), (0.8, 1.0)))
    print(f"live run of {seconds:.0f} s: {first:.0f} MiB in its second tenths, {last:.0f} MiB at its end, ratio {last / first:.3f}")


def send(server: socket.socket, clip: Path, seconds: float) -> None:
    """The clip over and over as MPEG-TS, in its own pace."""
    connection, _ = server.accept()
    fps = open_source(clip).facts.fps
    with connection, suppress(OSError, av.error.FFmpegError):
        sink = Sink(connection)
        with av.open(sink, "w", format="mpegts", options={"flush_packets": "1"}) as container:
            stream, began, count = None, time.monotonic(), 0
            while time.monotonic() - began < seconds:
                for frame in open_source(clip).frames():
                    if stream is None:
                        options = {"tune": "zerolatency", "preset": "ultrafast", "g": "30"}
                        stream = container.add_stream("libx264", rate=round(fps), options=options)
                        stream.height, stream.width = (side // 2 * 2 for side in frame.image_hw)
                        stream.pix_fmt = "yuv420p"
                    image = frame.image[: stream.height, : stream.width]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                    count += 1
                    time.sleep(max(0.0, began + count / round(fps) - time.monotonic()))


class Sink:
    """What PyAV writes into; an own copy, as its buffer is used again."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def write(self, data: bytes) -> int:
        self.connection.sendall(bytes(data))
        return len(data)


if __name__ == "__main__":
    main()
