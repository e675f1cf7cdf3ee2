#!/usr/bin/env python3
"""Memory and delay of a long live run: `python benchmarks/live.py CLIP [--minutes 60] [options of pipelines.run]`.

The clip is sent over and over to 127.0.0.1 as MPEG-TS, in real time, with 320x240 pixels and five frames a second, and parsed by
`pipelines.run` in a process of its own. Memory is what the process holds (VmRSS), every ten seconds. The run itself says how long
after its arrival a picture was done; here it counts from when the picture was given to the encoder until its line can be read.
That is two pictures more, 0.4 s at this rate: a reader of MPEG-TS and H.264 knows that a picture is whole by the next one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import av.error
import numpy as np
from workers import Sink

FPS, SIZE_PX = 5, (320, 240)
SAMPLED_S, LOOKED_S = 10.0, 0.02
WARM_S = 300.0  # until then the libraries still take what they keep


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and delay of a long live run.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        sent: list[float] = []
        threading.Thread(target=send, args=(server, arguments.clip, sent), daemon=True).start()
        out = Path(folder) / "live.jsonl"
        source = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        limits = ["--seconds", str(60 * arguments.minutes), "--reconnect", "0"]
        process = subprocess.Popen([sys.executable, "-m", "pipelines.run", source, "--out", str(out), *limits, *options])
        done: list[tuple[int, float]] = []
        threading.Thread(target=read, args=(out, process, done), daemon=True).start()
        samples = list(memory_mib(process))
        if process.returncode:
            raise SystemExit(f"pipelines.run failed: {process.returncode}")
        report(samples, delays(sent, done), out)


def send(server: socket.socket, clip: Path, sent: list[float]) -> None:
    """The clip in a loop, to the first that connects, until it leaves."""
    connection, _ = server.accept()
    with (
        connection,
        suppress(OSError, av.error.FFmpegError),
        av.open(Sink(connection), "w", format="mpegts", options={"flush_packets": "1"}) as container,
    ):
        stream = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        began = time.monotonic()
        for number, picture in enumerate(itertools.cycle(pictures(clip))):
            time.sleep(max(0.0, began + number / FPS - time.monotonic()))
            picture.pts = number
            sent.append(time.monotonic())
            container.mux(stream.encode(picture))


def pictures(clip: Path) -> list[av.VideoFrame]:
    """The clip's frames at the benchmark's size and rate."""
    kept, due_s = [], 0.0
    with av.open(str(clip)) as container:
        for picture in container.decode(video=0):
            if picture.time >= due_s:
                kept.append(picture.reformat(*SIZE_PX, format="yuv420p"))
                due_s += 1 / FPS
    return kept


def read(out: Path, process: subprocess.Popen[bytes], done: list[tuple[int, float]]) -> None:
    """The index of each frame, and when its line could be read."""
    while not out.exists() and process.poll() is None:
        time.sleep(LOOKED_S)
    with out.open() as file:
        line = ""
        while process.poll() is None:
            line += file.readline()
            if not line.endswith("\n"):
                time.sleep(LOOKED_S)
                continue
            if line.startswith('{"index"'):
                done.append((json.loads(line)["index"], time.monotonic()))
            line = ""


def memory_mib(process: subprocess.Popen[bytes]) -> Iterator[tuple[float, float, float]]:
    """Seconds since the beginning, MiB that the process holds, and the load of the machine, until the process ends."""
    began = time.monotonic()
    while process.poll() is None:
        with suppress(OSError, StopIteration, ValueError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            held = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            yield time.monotonic() - began, int(held.split()[1]) / 1024, os.getloadavg()[0]
        with suppress(subprocess.TimeoutExpired):
            process.wait(SAMPLED_S)


def delays(sent: list[float], done: list[tuple[int, float]]) -> np.ndarray:
    """Seconds from the sender to the line, of the frames whose number tells when they were sent."""
    return np.array([at_s - sent[index] for index, at_s in done if index < len(sent)])


def report(samples: list[tuple[float, float, float]], delay_s: np.ndarray, out: Path) -> None:
    with out.open("rb") as file:
        summary = json.loads(list(file)[-1])
    video, (at_s, mib, load) = summary["video"], np.array(samples).T
    warm = at_s >= min(WARM_S, at_s[-1] / 2)
    slope = np.polyfit(at_s[warm] / 3600, mib[warm], 1)[0]
    print(f"frames     {video['frames_decoded']} in {video['duration_s']:.0f} s, {video['frames_dropped']} dropped")
    print(f"tracks     {len(summary['tracks'])}, {out.stat().st_size / 2**20:.1f} MiB of lines")
    print(f"memory     {mib[warm][0]:.0f} MiB after {at_s[warm][0] / 60:.0f} min, {mib[-1]:.0f} at the end, {mib.max():.0f} at most")
    print(f"ratio      {mib[-1] / mib[warm][0]:.3f}, {slope:+.1f} MiB an hour")
    print(f"load       {np.median(load):.1f} at the median, {load.max():.1f} at most, {os.cpu_count()} cores")
    for name, value in (("half", 50), ("95 %", 95), ("99 %", 99), ("all", 100)):
        print(f"{name:<6} of the frames done in {np.percentile(delay_s, value):.2f} s")


if __name__ == "__main__":
    main()
