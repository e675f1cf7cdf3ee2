"""Peak memory of a Kinetics-TPS submission over the number of videos: the parses are copies of one.

python benchmarks/export_memory.py parse.json [--videos 10 200]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parse", type=Path)
    parser.add_argument("--videos", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from pipelines import export

        command = ["kinetics-tps", str(arguments.child), "--out", str(arguments.child / "s.zip"), "--quiet"]
        export.main(export.build_parser().parse_args(command))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    document = json.loads(arguments.parse.read_text(encoding="utf-8"))
    for count in arguments.videos:
        with tempfile.TemporaryDirectory() as folder:
            for i in range(count):
                document["video"]["name"] = f"v{i}.mp4"
                (Path(folder) / f"v{i}.json").write_text(json.dumps(document), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, __file__, str(arguments.parse), "--child", folder], capture_output=True, text=True, check=True
            )
            size = (Path(folder) / "s.zip").stat().st_size / 2**20
            print(f"{count} videos: {done.stdout.strip()} MiB at most, submission of {size:.1f} MiB")


if __name__ == "__main__":
    main()
