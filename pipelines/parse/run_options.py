"""Options of `pipelines.run` for live sources and for many videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from parsing.errors import InputError
from pipelines.parse.sources import STDOUT

MOST_PORT, MOST_SECONDS, MOST_WORKERS = 65535, 1e7, 256


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """How live sources are read, and where any source is seen while it is parsed."""
    what = "camera:0, /dev/video0, rtsp://, rtmp://, http(s)://, tcp://, udp://, screen:, - (pipe); Ctrl-C ends them"
    live = parser.add_argument_group("live", what)
    live.add_argument("--live", action=argparse.BooleanOptionalAction, default=True, help="drop frames, keep the newest (default)")
    live.add_argument("--reconnect", type=float, default=60.0, metavar="S", help="how long a lost source is looked for (default: 60)")
    live.add_argument("--seconds", type=float, metavar="S", help="end a live source after so long")
    live.add_argument("--show", action="store_true", help="a window with the annotated pictures")
    live.add_argument("--serve", type=int, metavar="PORT", help="a page with them; 0 for any free port")
    live.add_argument("--host", default="127.0.0.1", metavar="NAME", help="where the page is served (default: 127.0.0.1)")


def add_many_options(parser: argparse.ArgumentParser) -> None:
    """Who parses the videos of a folder."""
    what = "each worker loads its networks once; OUT/manifest.jsonl says what became of each video"
    many = parser.add_argument_group("many videos", what)
    many.add_argument("--workers", type=int, metavar="N", help="processes on this machine, each with its share of the cores")
    many.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: Ray Data, on many machines (extra ray)")
    many.add_argument("--ray-address", metavar="HOST:PORT", help="of a cluster that runs (default: start one on this machine)")


def check_options(arguments: argparse.Namespace) -> None:
    """Raises InputError: options that do not go together, or numbers out of range."""
    out: Path | None = arguments.out
    if out is None and not arguments.show and arguments.serve is None:
        raise InputError("expected --out, --show or --serve: nothing would be kept or seen")
    if arguments.report and (out is None or out == STDOUT or arguments.engine == "ray"):
        raise InputError("--report: expected --out with the name of a file or a folder, beside which the page goes, and no --engine ray")
    if arguments.serve is not None and not 0 <= arguments.serve <= MOST_PORT:
        raise InputError(f"--serve {arguments.serve}: expected a port from 0 to {MOST_PORT}")
    if arguments.workers is not None and not 1 <= arguments.workers <= MOST_WORKERS:
        raise InputError(f"--workers {arguments.workers}: expected a number from 1 to {MOST_WORKERS}")
    if (arguments.workers is not None or arguments.engine == "ray") and (arguments.show or arguments.serve is not None):
        raise InputError("--show and --serve are of one source in this process: leave out --workers and --engine")
    for name in ("reconnect", "seconds"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value <= MOST_SECONDS:
            raise InputError(f"--{name} {value}: expected seconds from 0 to {MOST_SECONDS:.0f}")
