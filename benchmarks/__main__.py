"""All benchmarks that this machine can run, one after the other: `make bench`.

    python benchmarks [COLLECTION] [--only NAME ...]

COLLECTION is a folder in BEIR's layout. Prints the machine and the versions, then what each
benchmark prints, with its command and how long it took. Each runs alone, too; larger sizes than
here are given in docs/benchmarks.md. Those that need a GPU run where `nvidia-smi` is.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Less than 30 minutes together on two cores.
RUNS: dict[str, list[str]] = {
    "index.py": ["COLLECTION", "--peer-documents", "200"],
    "tokens.py": ["COLLECTION"],
    "query.py": ["COLLECTION", "--index", "FOLDER/query", "--queries", "50"],
    "shell.py": ["COLLECTION", "--index", "FOLDER/query"],
    "vectors.py": [
        "FOLDER/query/base",
        "100000",
        "--queries",
        "COLLECTION/queries.jsonl",
        "--folder",
        "FOLDER/vectors",
    ],
    "serve.py": ["COLLECTION", "--index", "FOLDER/query", "--seconds", "5"],
    "lexical.py": ["COLLECTION", "--documents", "100000"],
    "scale.py": ["COLLECTION", "--documents", "20000", "--files", "20000"],
    "growth.py": ["COLLECTION", "--most", "10000"],
    "gpu.py": ["COLLECTION"],
}
ON_A_GPU = {"gpu.py"}
PACKAGES = (
    "clsearch numpy torch transformers tokenizers faiss-cpu sentence-transformers hnswlib usearch "
    "bm25s"
).split()


def machine() -> str:
    """CPU, cores, memory, system and versions, as lines."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    return (
        f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform()}\n"
        f"{', '.join(versions)}"
    )


def run(name: str, collection: Path, folder: str) -> bool:
    """Run one, in a process of its own; False where it failed."""
    if name in ON_A_GPU and not shutil.which("nvidia-smi"):
        print(f"\n{name}: no GPU here", flush=True)
        return True
    places = {"COLLECTION": str(collection), "FOLDER": folder}
    given = [re.sub("|".join(places), lambda found: places[found[0]], one) for one in RUNS[name]]
    print(f"\npython benchmarks/{name} {' '.join(given)}", flush=True)
    began = time.monotonic()
    code = subprocess.run([sys.executable, HERE / name, *given], check=False).returncode
    print(f"({time.monotonic() - began:.0f} s)", flush=True)
    return code == 0


def main() -> int:
    """Run them; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("collection", nargs="?", default="../shared/eval/scifact", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=RUNS)
    arguments = parser.parse_args()
    if not arguments.collection.is_dir():
        parser.error(f"there is no folder {str(arguments.collection)!r}: name one as COLLECTION")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        names = arguments.only or RUNS
        failed = [name for name in names if not run(name, arguments.collection, folder)]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
