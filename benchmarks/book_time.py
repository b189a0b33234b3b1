"""How long the recorded book takes from an empty cache: seconds by chapter, processor seconds by method.

    python benchmarks/book_time.py [quick | fast | paper]

Installation is not counted; nothing should run beside it. Each fit is counted once; decoding and drawing are
the rest of a chapter's time. Chapters run two at a time.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
DONE = re.compile(r"chapter \d+/\d+\s+(\w+)\s+done in (\d+) s")


def fitting_seconds(results: Path) -> pd.Series:
    """Processor seconds of fitting by method, from the chapters' results; each run once."""
    chapters = sorted(results.glob("[0-9]*.json"))
    records = [r for path in chapters for r in json.loads(path.read_text())["records"]]
    table = pd.DataFrame([record for record in records if "settings" in record and "seconds" in record])
    runs = table.drop_duplicates(["session", "area", "method", "seed", "settings"])
    return runs.groupby("method", sort=False)["seconds"].agg(["count", "mean", "sum"])


def main(profile="quick"):
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"NERLIB_CACHE": f"{folder}/cache", "NERLIB_DATA": ""}
        command = [
            sys.executable,
            ROOT / "book" / "run.py",
            "--profile",
            profile,
            "--output",
            f"{folder}/book",
        ]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        minutes = (time.perf_counter() - start) / 60
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        print(pd.Series(dict(DONE.findall(done.stdout)), name="seconds by chapter").to_string())
        print("\nprocessor seconds of fits, by method")
        print(fitting_seconds(Path(folder) / "book" / "source" / "results").round(1).to_string())
        print(f"\nprofile {profile}: {minutes:.1f} minutes on {os.cpu_count()} cores")


if __name__ == "__main__":
    main(*sys.argv[1:])
