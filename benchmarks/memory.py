"""Does memory stay flat? A run of many chunks, its peak memory, and whether every chunk is there.

    python benchmarks/memory.py [--chunks 10M]

`latok measure` holds 50 streams on the golden server, which sends 1,000 tokens a request as fast as
it can. Shown is the peak of each of latok's processes (VmHWM; the command itself, which also makes
the point, and the driver's worker), against the bar of 1 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from latok.jobs.experiment import count
from latok.load.golden import golden
from latok.records import read_records

TOKENS = 1_000
BAR = 1e9  # bytes


def family(pid: int) -> list[int]:
    """A process and those that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def watch(pid: int, peaks: dict[str, int]) -> None:
    """Notes the peak memory of each process of the family, as long as it lives."""
    while True:
        try:
            for each in family(pid):
                status = Path(f"/proc/{each}/status").read_text()
                name = Path(f"/proc/{each}/cmdline").read_text().split("\0")[2]
                peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
                peaks[name] = max(peaks.get(name, 0), peak)
        except (OSError, IndexError, ValueError):
            if not Path(f"/proc/{pid}/status").exists():
                return
        time.sleep(0.2)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--chunks", default="10M")
    wanted = count(words.parse_args().chunks, "--chunks")
    peaks: dict[str, int] = {}
    began = time.monotonic()
    with golden() as url, tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "latok", "measure", url, "--runs", runs, "--json"]
        command += ["--model", "steady:ttft=0,gap=0", "-c", "50", "--input-tokens", "10"]
        command += ["--output-tokens", str(TOKENS), "--requests", str(wanted // TOKENS)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=watch, args=(process.pid, peaks), daemon=True).start()
        said, _ = process.communicate()
        (folder,) = Path(runs).iterdir()
        whole = chunks = 0
        for record in read_records(folder):
            if record.ok:
                whole += sum(chunk.is_token for chunk in record.chunks) == TOKENS
                chunks += len(record.chunks)
    point = json.loads(said)
    print(f"{chunks:,} chunks, {point['counts']['ok']:,} requests in the window, ", end="")
    print(f"{whole:,} whole in all; {time.monotonic() - began:.0f} s")
    for name, peak in peaks.items():
        print(f"{name:18}{peak / 1e6:8.0f} MB at its peak")
    held = max(peaks.values()) < BAR and whole >= point["counts"]["ok"] == wanted // TOKENS
    print("PASS" if held else "over the bar")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
