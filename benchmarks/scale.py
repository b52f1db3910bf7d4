"""Memory and time of `clsearch index` over many records and many files, and when nothing changed.

    python benchmarks/scale.py COLLECTION [--documents 20000] [--files 5000] [--texts FILE]
        [--folder FOLDER] [--passages-per-second 130]

COLLECTION, in BEIR's layout, is grown to so many documents (grown.py), in one JSONL file; others of
them are put into files of their own. What an index does is done, but that vectors are drawn, not
encoded. Prints for both what the first run took, a second one in which nothing has changed, and one
with one record more or one file changed; each in a process of its own, without the loading of the
encoder. MB are those above what the process had before. The bar of the second run is 1/100 of the
first: of one with drawn vectors, and of one that encodes so many passages in a second.

With --folder, what is made stays there and is used again: the first run is not measured twice.
"""

import argparse
import json
import tempfile
from pathlib import Path

import grown


def files(source: Path, folder: Path, count: int) -> Path:
    """The last `count` records of a JSONL file as files, a hundred in a folder; made where missing.

    No two are the same.
    """
    if not folder.exists():
        with source.open(encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines][-count:]
        for number, record in enumerate(records):
            below = folder / f"{number // 100:04}"
            below.mkdir(parents=True, exist_ok=True)
            (below / f"{number}.txt").write_text(f"{record['text']}\n", encoding="utf-8")
    return folder


def show(name: str, found: dict[str, float], first: dict[str, float], rate: float) -> None:
    """Print a line of the table."""
    real = first["cpu"] - first["encoding"] + first["encoded"] / rate
    print(
        f"{name:<34}  {found['cpu']:>8.2f}  {found['encoded']:>9,.0f}  {found['peak']:>7.0f}  "
        f"{found['peak_own']:>6.0f}  {first['cpu'] / found['cpu']:>8.0f}  "
        f"{real / found['cpu']:>8.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--passages-per-second", type=float, default=130.0)
    arguments = parser.parse_args()
    rate = arguments.passages_per_second
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        source = grown.written(arguments.collection, folder, arguments.documents, arguments.texts)
        print(
            f"{'':<34}  {'CPU s':>8}  {'encoded':>9}  {'peak MB':>7}  {'own MB':>6}  "
            f"{'1 in':>8}  {'1 in, if encoded':>8}"
        )
        count = arguments.documents
        index = folder / f"{count}"
        first = grown.first(source, index)
        show(f"{count:,} records, first", first, first, rate)
        show("  nothing changed", grown.measured(source, index), first, rate)
        with source.open("a", encoding="utf-8") as file:
            record = {"id": f"new-{source.stat().st_size}", "text": "One more."}
            file.write(json.dumps(record) + "\n")
        show("  one line appended", grown.measured(source, index), first, rate)

        below = files(source, folder / f"files-{arguments.files}", arguments.files)
        index = folder / f"files-{arguments.files}-index"
        first = grown.first(below, index)
        show(f"{arguments.files:,} files, first", first, first, rate)
        show("  nothing changed", grown.measured(below, index), first, rate)
        changed = next(below.rglob("*.txt"))
        changed.write_text(f"{changed.read_text(encoding='utf-8')}More.\n", encoding="utf-8")
        show("  one file changed", grown.measured(below, index), first, rate)


if __name__ == "__main__":
    main()
