"""How fast is the search by vectors, against faiss, hnswlib and usearch?

    python benchmarks/vectors.py INDEX --queries FILE --folder FOLDER [100000 1000000]

INDEX holds real vectors, as of SciFact's 12,321 passages; FILE is a queries.jsonl of BEIR, encoded
by the same encoder. More vectors are made of the real ones: each is a random mix of a real vector
and two of its 1,024 nearest, at ranks drawn evenly by their logarithm, plus noise of up to the
distance to the nearest; so that, at the number of the real ones, the distances to the first and to
the tenth neighbour are those of the real ones (printed). Of the questions, half are the real
queries, half vectors made in the same way and held out.

Each line runs in a process of its own: built with all threads, searched with one, a query at a
time, at the least effort that reaches the recall@10 of --recall; RSS is what the process grew by,
anonymous and mapped from files. What is built stays in FOLDER, and is used again.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from clsearch import Encoder
from clsearch.index.files import segment_path
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import SegmentRow
from clsearch.index.vectors import Segment, kinds, pieces, recall

Vectors = NDArray[np.float32]
NEAREST, MIXED, NOISE = 1024, 2, 1.0
PIECE = 65_536
ASKED = 500  # of each sort of question
TIMED = 3  # passes over the questions; the fastest counts
EFFORTS = tuple(round(4 * 1.25**step) for step in range(26))
PEERS = ("faiss flat", "hnswlib", "usearch")
OURS = ("exact", "compact", "fast")
# Peers are built with their own defaults where they have one: M = 16, ef_construction = 200.
M, EF_CONSTRUCTION = 16, 200


def nearest(base: Vectors, queries: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    return index.search(queries, k)


def enlarged(real: Vectors, count: int, seed: int = 1) -> Iterator[Vectors]:
    """`count` vectors with the spread of the real ones, in chunks."""
    generator = np.random.default_rng(seed)
    most = min(NEAREST, len(real) - 1)
    scores, places = nearest(real, real, most + 1)
    gap = np.sqrt(np.maximum(2 - 2 * scores[:, 1], 0.01))
    for start in range(0, count, PIECE):
        n = min(PIECE, count - start)
        around = generator.integers(0, len(real), n)
        ranks = np.exp(generator.uniform(0, np.log(most), (n, MIXED))).astype(int)
        weights = generator.dirichlet([1.5] + [0.5] * MIXED, n).astype(np.float32)
        mixed = weights[:, :1] * real[around]
        for other in range(MIXED):
            mixed += weights[:, other + 1, None] * real[places[around, ranks[:, other]]]
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        size = NOISE * gap[around] * generator.uniform(0, 1, n) / np.sqrt(real.shape[1])
        mixed += size[:, None].astype(np.float32) * generator.standard_normal(
            mixed.shape, np.float32
        )
        yield mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def spread(base: Vectors, queries: Vectors, skipped: int) -> str:
    """Median distances to the first and the tenth neighbour."""
    scores, _ = nearest(base, queries, 10 + skipped)
    distances = np.sqrt(np.maximum(2 - 2 * scores[:, skipped:], 0))
    first, tenth = np.median(distances[:, 0]), np.median(distances[:, 9])
    return f"{first:.3f} and {tenth:.3f}"


def prepare(index: Path, queries: Path, folder: Path, sizes: list[int]) -> None:
    """The vectors, the questions and the exact answers, where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base.npy"
    if not base.exists() or len(np.load(base, mmap_mode="r")) < max(sizes):
        with Snapshot.open(index) as snapshot:
            opened = [Segment.open(index, row) for row in snapshot.segments]
            model = snapshot.options.model
        real = np.concatenate([one.vectors(one.ids) for one in opened])
        real /= np.linalg.norm(real, axis=1, keepdims=True)
        lines = queries.read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        asked = Encoder.load(model).encode_queries(texts)
        rng = np.random.default_rng(0)
        # Written as they come: ten million are more than most machines' memory.
        unfinished = base.with_suffix(".part")
        shape = (max(sizes) + ASKED, real.shape[1])
        made = np.lib.format.open_memmap(unfinished, "w+", np.float32, shape)
        start = 0
        for part in enlarged(real, len(made)):
            made[start : start + len(part)] = part
            start += len(part)
        unfinished.rename(base)
        np.save(folder / "questions.npy", np.concatenate([asked[:ASKED], made[-ASKED:]]))
        some, n = real[rng.permutation(len(real))[:1000]], len(real)
        print(f"{n} real vectors: next neighbours at {spread(real, some, 1)}")
        print(f"{n} made vectors: next neighbours at {spread(made[:n], made[:1000], 1)}")
        print(f"{n} real vectors, queries: {spread(real, asked, 0)}")
        print(f"{n} made vectors, queries: {spread(made[:n], asked, 0)}")
        for old in folder.glob("exact-*.npy"):
            old.unlink()
    for size in sizes:
        answers = folder / f"exact-{size}.npy"
        if not answers.exists():
            held = np.load(base, mmap_mode="r")[:size]
            asked = np.load(folder / "questions.npy")
            scores = np.full((len(asked), 0), 0, np.float32)
            places = np.full((len(asked), 0), 0, np.int64)
            for start in range(0, size, 1_000_000):  # a part at a time, so that memory is enough
                found = nearest(np.ascontiguousarray(held[start : start + 1_000_000]), asked, 10)
                scores = np.concatenate([scores, found[0]], axis=1)
                places = np.concatenate([places, found[1] + start], axis=1)
            order = np.argsort(-scores, axis=1)[:, :10]
            np.save(answers, np.take_along_axis(places, order, axis=1))


def resident() -> tuple[float, float]:
    """MB of this process: anonymous, mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    return tuple(int(values[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))


class Line:
    """One index under test: how it is built and kept, and how it is asked."""

    def __init__(self, name: str, size: int, folder: Path) -> None:
        self.name, self.size, self.folder = name, size, folder
        self.kept = folder / f"{name.replace(' ', '-')}-{size}"
        self.base = np.load(folder / "base.npy", mmap_mode="r")[:size]
        self.dimension = self.base.shape[1]

    def chunks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        for start in range(0, self.size, PIECE):
            part = np.ascontiguousarray(self.base[start : start + PIECE])
            yield np.arange(start, start + len(part)), part

    def build(self) -> None:
        """Build with all threads, and keep it with the seconds that took."""
        began = time.perf_counter()
        if self.name == "faiss flat":
            index = faiss.IndexFlatIP(self.dimension)
            for _, part in self.chunks():
                index.add(part)
            seconds = time.perf_counter() - began
            faiss.write_index(index, str(self.kept))
        elif self.name == "hnswlib":
            import hnswlib

            index = hnswlib.Index("ip", self.dimension)
            index.init_index(self.size, M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
            for ids, part in self.chunks():
                index.add_items(part, ids)
            seconds = time.perf_counter() - began
            index.save_index(str(self.kept))
        elif self.name == "usearch":
            from usearch.index import Index

            index = Index(ndim=self.dimension, metric="ip", dtype="f32", connectivity=M)
            for ids, part in self.chunks():
                index.add(ids, part)
            seconds = time.perf_counter() - began
            index.save(str(self.kept))
        else:
            path = segment_path(self.kept, "a")
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            kind = str(kinds.FIRST[kinds.NAMES[self.name]])
            with path.open("wb") as file:
                for piece in pieces(self.chunks, self.size, self.dimension, kind):
                    file.write(piece)
                    digest.update(piece)
            seconds = time.perf_counter() - began
            self.kept.with_suffix(".sha256").write_text(digest.hexdigest())
        self.kept.with_suffix(".seconds").write_text(str(seconds))

    def open(self) -> tuple[Callable[[Vectors], NDArray[np.int64]], Callable[[int], None]]:
        """What answers questions with ten places each, and what sets its effort."""
        if self.name == "faiss flat":
            flat = faiss.read_index(str(self.kept))
            return lambda asked: flat.search(asked, 10)[1], lambda effort: None
        if self.name == "hnswlib":
            import hnswlib

            graph = hnswlib.Index("ip", self.dimension)
            graph.load_index(str(self.kept))
            graph.set_num_threads(1)
            return lambda asked: graph.knn_query(asked, 10)[0].astype(np.int64), graph.set_ef
        if self.name == "usearch":
            from usearch.index import Index

            other = Index.restore(str(self.kept))

            def set_effort(effort: int) -> None:
                other.expansion_search = effort

            return (
                lambda asked: (
                    other.search(asked, 10, threads=1).keys.astype(np.int64).reshape(len(asked), -1)
                ),
                set_effort,
            )
        path = segment_path(self.kept, "a")
        digest = self.kept.with_suffix(".sha256").read_text()
        kind = kinds.FIRST[kinds.NAMES[self.name]]
        row = SegmentRow(
            "a", str(kind), self.size, self.dimension, path.stat().st_size, digest, "", ""
        )
        segment = Segment.open(self.kept, row)
        none = np.array([], np.int64)

        def set_kind(effort: int) -> None:
            refine = kind.refine if self.name == "fast" else 20 if effort > 32 else 10
            segment.kind = kind.at(effort, refine)

        self.segment = segment
        return lambda asked: segment.search(asked, 10, none)[1], set_kind

    def run(self, target: float) -> dict[str, object]:
        """Build where needed; the least effort that reaches the recall, and what it costs."""
        if not self.kept.with_suffix(".seconds").exists():
            self.build()
        faiss.omp_set_num_threads(1)
        asked = np.load(self.folder / "questions.npy")
        truth = np.load(self.folder / f"exact-{self.size}.npy")
        if self.name in ("faiss flat", "exact"):
            asked, truth = asked[::5], truth[::5]
        if self.name in OURS:
            self.verify()
        before = resident()
        began = time.perf_counter()
        search, set_effort = self.open()
        opened = time.perf_counter() - began
        search(asked[:1])
        first = time.perf_counter() - began
        one = [asked[n : n + 1] for n in range(len(asked))]
        for effort in EFFORTS:
            set_effort(effort)
            found = np.concatenate([search(question) for question in one])
            reached = shared(found, truth)
            if reached >= target:
                break
        seconds = []
        for _ in range(TIMED):
            began = time.perf_counter()
            for question in one:
                search(question)
            seconds.append(time.perf_counter() - began)
        after = resident()
        began = time.perf_counter()
        search(asked)
        batch = time.perf_counter() - began
        half = len(asked) // 2
        return {
            "name": self.name,
            "size": self.size,
            "rate": len(asked) / min(seconds),
            "batch": len(asked) / batch,
            "recall": reached,
            "of_queries": shared(found[:half], truth[:half]),
            "effort": effort,
            "build": float(self.kept.with_suffix(".seconds").read_text()),
            "open_ms": 1000 * opened,
            "first_ms": 1000 * first,
            "anonymous": after[0] - before[0],
            "mapped": after[1] - before[1],
            "structure": self.structure(),
        }

    def verify(self) -> None:
        """Have the file hashed, as whoever opens it first does, once it is no fresh one."""
        fresh = segment_path(self.kept, "a").stat().st_ctime + 11 - time.time()
        time.sleep(max(fresh, 0))
        self.open()
        del self.segment

    def structure(self) -> float:
        """MB of what is read at every search: of ours, what stands beside the vectors."""
        if self.name in OURS:
            from clsearch.index.vectors import flat

            size = segment_path(self.kept, "a").stat().st_size
            return (size - flat.size(self.size, self.dimension)) / 2**20
        return self.kept.stat().st_size / 2**20


def shared(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return sum(len(set(a) & set(b)) for a, b in pairs) / truth.size


def tuned(folder: Path, size: int) -> None:
    """What `optimize` would store, and its recall on the questions."""
    truth, asked = np.load(folder / f"exact-{size}.npy"), np.load(folder / "questions.npy")
    for name in OURS[1:]:
        line = Line(name, size, folder)
        if not line.kept.with_suffix(".seconds").exists():
            continue
        search, _ = line.open()
        for target in (0.95, 0.98, 0.99):
            began = time.perf_counter()
            kind, own = recall.tune(line.segment, target)
            seconds = time.perf_counter() - began
            found = search(asked)
            half = len(asked) // 2
            print(
                f"  {name} tuned to {target}: {kind.parameters}, {own.mean:.4f} of its own, "
                f"{shared(found[:half], truth[:half]):.4f} of queries, "
                f"{shared(found[half:], truth[half:]):.4f} of held-out ones, {seconds:.0f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("sizes", type=int, nargs="*", default=[100_000])
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--lines", nargs="*", default=[*PEERS, *OURS])
    parser.add_argument("--tune", action="store_true", help="Also what `optimize` would choose.")
    parser.add_argument("--run", help=argparse.SUPPRESS)  # one line, in this process
    arguments = parser.parse_args()
    if arguments.run:
        line = Line(arguments.run, arguments.sizes[0], arguments.folder)
        print(json.dumps(line.run(arguments.recall)))
        return
    prepare(arguments.index, arguments.queries, arguments.folder, arguments.sizes)
    named = ("faiss-cpu", "hnswlib", "usearch", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in named), f"{os.cpu_count()} CPUs")
    for size in arguments.sizes:
        print(
            f"\n{size:,} vectors, one thread, recall@10 >= {arguments.recall}\n"
            f"{'':11} {'queries/s':>9} {'batch':>7} {'recall':>7} {'effort':>6} {'build s':>8} "
            f"{'open ms':>8} {'first ms':>8} {'anon MB':>8} {'mapped':>7} {'codes':>7}"
        )
        rates: dict[str, float] = {}
        for name in arguments.lines:
            command = [sys.executable, __file__, str(arguments.index), str(size), "--run", name]
            command += ["--queries", str(arguments.queries), "--folder", str(arguments.folder)]
            command += ["--recall", str(arguments.recall)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            of = json.loads(done.stdout.splitlines()[-1])
            rates[name] = of["rate"]
            ratios = ", ".join(
                f"{of['rate'] / rates[peer]:.2f}x {peer}"
                for peer in PEERS
                if name in OURS and peer in rates
            )
            print(
                f"{name:11} {of['rate']:9,.0f} {of['batch']:7,.0f} {of['recall']:7.4f} "
                f"{of['effort']:6} {of['build']:8.1f} {of['open_ms']:8.1f} {of['first_ms']:8.1f} "
                f"{of['anonymous']:8.0f} {of['mapped']:7.0f} {of['structure']:7.0f}  {ratios}",
                flush=True,
            )
        if arguments.tune:
            tuned(arguments.folder, size)


if __name__ == "__main__":
    main()
