"""A search of the command line, answered by the background and by a process of its own.

    python benchmarks/shell.py COLLECTION --index FOLDER [--passages 100000] [--runs 30]

COLLECTION is a folder in BEIR's layout; the indexes are those of query.py, made in FOLDER where
they are not there. The whole command in a new process, as an installed script starts it, in turn:
answered by the background, by itself, and a Python that does nothing. Medians, and the fastest and
the slowest in ten. Then the memory that the background takes.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from enlarged import enlarge
from query import QUESTION, run

from clsearch import Index, runtime
from clsearch.index import memory
from clsearch.search.evaluate import beir

SCRIPT = """\
import sys
from clsearch.shell import main
if __name__ == "__main__":
    sys.exit(main())
"""
LINES = {
    "search": [QUESTION],
    "search --json": [QUESTION, "--json"],
    "search --mode lexical": [QUESTION, "--mode", "lexical"],
    "search --where": [QUESTION, "--where", "path like '%1%'"],
}


def shown(seconds: list[float]) -> str:
    """`median (from, to)` in milliseconds."""
    tenths = statistics.quantiles(seconds, n=10)
    low, high = 1000 * tenths[0], 1000 * tenths[-1]
    return f"{1000 * statistics.median(seconds):>5.0f} ({low:.0f}, {high:.0f})"


def measure(index: Path, script: Path, runs: int) -> None:
    """Print the table of one index, and end its background."""
    command = [sys.executable, str(script), "search", "--index", str(index)]
    run([*command, QUESTION])
    while not (process := runtime.listener(str(index))):
        time.sleep(0.1)
    print(f"{'ms: median (tenths)':<24}  {'answered':>14}  {'by itself':>16}  {'Python':>14}")
    for name, line in LINES.items():
        ways = [[*command, *line], [*command, *line, "--daemon", "off"], [sys.executable, "-c", ""]]
        times: list[list[float]] = [[], [], []]
        for _ in range(runs):
            for way, taken in zip(ways, times, strict=True):
                taken.append(run(way)[0])
        answered, itself, python = map(shown, times)
        print(f"{name:<24}  {answered:>14}  {itself:>16}  {python:>14}", flush=True)
    assert runtime.listener(str(index)) == process, "the background has ended meanwhile"
    status = Path(f"/proc/{process}/status").read_text()
    resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    own = memory.anonymous(process)
    print(f"background: {int(resident) / 1024:.0f} MB resident, {own / 2**20:.0f} MB its own\n")
    os.kill(process, signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    base, large = arguments.index / "base", arguments.index / f"{arguments.passages}"
    if not base.exists():
        with Index.open(base) as made:
            made.add(beir.read_corpus(arguments.collection))
    if not large.exists():
        enlarge(base, large, arguments.passages)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_RUNTIME_DIR": folder, "CI": "", "CLSEARCH_DAEMON": "auto"}
        script = Path(folder) / "bin" / "clsearch"
        script.parent.mkdir()
        script.write_text(SCRIPT)
        for index in (base, large):
            print(index)
            measure(index, script, arguments.runs)


if __name__ == "__main__":
    main()
