"""Indexes of collections, kept in the user's cache folder and used again while nothing changed.

$XDG_CACHE_HOME/clsearch/eval/NAME-HASH/     HASH: of the corpus' path, model and pooling
  index/        an index
  stamp.json    what it was made of
  lock          flock: shared while it is searched, alone while it is made
"""

import fcntl
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import IO, TypeVar

from ... import __version__
from ...index import config
from ...index.config import Options
from ...index.encoder import Encoder
from ...index.errors import IndexDamaged, IndexMismatch, IndexMissing
from ...index.index import Index
from ...index.store.snapshot import Snapshot
from ...index.types import Document, Json
from ...terminal import SILENT, Status
from .corpus import Corpus

INDEX, STAMP, LOCK = "index", "stamp.json", "lock"
UNUSABLE = (IndexDamaged, IndexMismatch, IndexMissing)

T = TypeVar("T")


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/clsearch/eval`, else `~/.cache/clsearch/eval`."""
    return config.user_cache() / "eval"


def with_index(
    corpus: Corpus,
    options: Options,
    root: Path,
    work: Callable[[Path], T],
    status: Status = SILENT,
) -> T:
    """`work` with an index of these documents below `root`: made, brought up to date, or as it is.

    The documents are not read while their stamp, the encoder's fingerprint and clsearch itself are
    those of the last time. An index that is damaged, or made by another encoder, is made anew.
    """
    folder = root / _name(corpus, options)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        _wait(lock, fcntl.LOCK_EX, status)
        try:
            _bring_up_to_date(corpus, options, folder, status)
        except UNUSABLE:
            _forget(folder)
            _bring_up_to_date(corpus, options, folder, status)
        _wait(lock, fcntl.LOCK_SH, status)
        try:
            return work(folder / INDEX)
        except UNUSABLE:  # a damaged segment shows when it is searched
            _wait(lock, fcntl.LOCK_EX, status)
            _forget(folder)
            _bring_up_to_date(corpus, options, folder, status)
            return work(folder / INDEX)


def fill(corpus: Corpus, options: Options, index: Path, status: Status = SILENT) -> set[str]:
    """Bring the documents into the index at `index` -> their ids; what else it holds stays."""
    ids: set[str] = set()
    what = f"{corpus.name} with {options.model}"
    what += f", {options.pooling}" if options.pooling else ""
    total = corpus.count()
    began = time.monotonic()

    def documents() -> Iterator[Document]:
        for document in corpus.documents():
            ids.add(document.id)
            status.show(f"indexing {what}: {len(ids):,} of {total:,} documents")
            yield document

    with Index.open(index, options.model, options.pooling) as writer:
        report = writer.add(documents())
    if report.encoded:
        status.leave(f"indexed {what} in {time.monotonic() - began:.0f} s")
    return ids


def _bring_up_to_date(corpus: Corpus, options: Options, folder: Path, status: Status) -> None:
    index, stamp = folder / INDEX, folder / STAMP
    encoder = Encoder.load(options.model, options.pooling)
    seen = corpus.stamp()
    made: dict[str, Json] = {
        "corpus": str(corpus.path.resolve()),
        "stamp": seen,
        **asdict(options),
        "fingerprint": encoder.fingerprint,
        "clsearch": _version(),
    }
    before = _read(stamp)
    if seen and before == made:
        with Snapshot.open(index):  # raises where it is none any more
            return
    kept = ("fingerprint", "clsearch")
    if index.exists() and [before.get(key) for key in kept] != [made[key] for key in kept]:
        _forget(folder)
    _write(stamp, {**made, "stamp": None})  # interrupted, the next run goes on where it stopped
    ids = fill(corpus, options, index, status)
    with Snapshot.open(index) as snapshot:
        gone = [id for id in snapshot.document_ids() if id not in ids]
    if gone:
        with Index.open(index) as writer:
            writer.remove(gone)
    # The stamp is that of before they were read: had they changed meanwhile, it is another one now.
    _write(stamp, made)


def _name(corpus: Corpus, options: Options) -> str:
    path = corpus.path.resolve()
    key = json.dumps([str(path), options.model, options.pooling]).encode()
    plain = re.sub(r"[^\w-]+", "-", corpus.name)[:40].strip("-")
    return f"{plain}-{hashlib.sha256(key).hexdigest()[:12]}"


@cache
def _version() -> str:
    """Which clsearch this is, to a line of what makes an index: passages are cut by code, too."""
    digest = hashlib.sha256(__version__.encode())
    home = Path(config.__file__).parent
    for path in sorted(home.rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _read(stamp: Path) -> dict[str, Json]:
    try:
        read = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _write(stamp: Path, made: Mapping[str, Json]) -> None:
    written = stamp.with_suffix(".tmp")
    written.write_text(json.dumps(made), encoding="utf-8")
    written.replace(stamp)


def _forget(folder: Path) -> None:
    (folder / STAMP).unlink(missing_ok=True)
    if (folder / INDEX).exists():
        shutil.rmtree(folder / INDEX)


def _wait(lock: IO[str], operation: int, status: Status) -> None:
    try:
        fcntl.flock(lock, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        status.show("waiting for another evaluation of the same collection")
        fcntl.flock(lock, operation)
