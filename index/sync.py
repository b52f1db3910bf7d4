"""What changed in the sources -> read -> passages -> encode -> commit."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from .batch import Batch, EncoderLike
from .errors import NotADocument, ReadError
from .readers import read
from .report import Progress, Tally
from .sources import Found, file_id, is_within, resolved, walk
from .store import documents, sources
from .store.rows import NO_TEXT, SourceRow
from .store.store import Store
from .types import Document, Skipped

# A file changed so recently may change again without a new mtime, by the clock's grain (two seconds
# on FAT, the coarsest): it is hashed again next time.
SETTLED_NS = 2_000_000_000

# So many characters of one file are held back until the file is known to be readable to its end.
HELD_CHARACTERS = 16_000_000

# So many files are looked up by one statement, and the documents of those that stayed counted: of
# a run over many files of which none changed, asking for each is more than half.
LOOKED_UP = 500


def sync(
    store: Store,
    encoder: EncoderLike,
    named: Sequence[str | Path],
    prune: bool,
    progress: Callable[[Progress], None] | None,
) -> Tally:
    """Make the index say what these sources say now.

    A file whose mtime and size are those of last time is not opened. One that cannot be read is
    skipped and named, and what the index has of it stays. With `prune`, files and records that
    vanished leave; never below a folder that could not be listed, nor from a file that has records
    which cannot be read.

    Raises `SourceError` before anything changes where a source is missing.
    """
    home = os.path.realpath(store.index.parent)
    for source in named:
        walk(source, home)
    total = None
    if progress:
        found = (item for source in named for item in walk(source, home))
        total = sum(isinstance(item, Found) for item in found)
    run = _Run(store, encoder, prune, progress, total)
    run.batch.encode_waiting()
    for source in named:
        run.take(source, home)
    run.batch.flush()
    return run.tally


class _Run:
    """One run over the sources."""

    def __init__(
        self,
        store: Store,
        encoder: EncoderLike,
        prune: bool,
        progress: Callable[[Progress], None] | None,
        total: int | None,
    ) -> None:
        self.store = store
        self.tally = Tally()
        self.batch = Batch(store, encoder, self.tally, self._tell)
        self._prune = prune
        self._progress = progress
        self._total = total
        self._files = 0
        self._seen: set[int] = set()
        self._kept: list[int] = []

    def _tell(self) -> None:
        if self._progress:
            tally = self.tally
            done = tally.added + tally.updated + tally.unchanged
            self._progress(Progress(self._files, self._total, done, tally.encoded))

    def take(self, source: str | Path, home: str) -> None:
        """Read what changed below one source, and remove what vanished."""
        root = file_id(resolved(source), home)
        kept: list[str] = []
        items = walk(source, home)
        while some := list(islice(items, LOOKED_UP)):
            known = sources.find(self.store, [item.id for item in some if isinstance(item, Found)])
            for item in some:
                if isinstance(item, Skipped):
                    self.tally.skipped.append(item)
                    kept.append(item.name)
                    continue
                self._take_file(item, root, known.get(item.id))
                self._files += 1
                self.batch.commit_if_due()
                self._tell()
            self._count_kept()
        if self._prune:
            self._remove_vanished(root, home, kept)

    def _take_file(self, found: Found, root: str, known: SourceRow | None) -> None:
        row = self.batch.waiting_source(found.id) or known
        if row is None:
            row = SourceRow(self.batch.new_source_id(), found.id, root, None, found.size, None)
        elif row.id in self._seen:
            return
        self._seen.add(row.id)
        if is_within(row.root, root) and row.root != root:
            row = replace(row, root=root)
            if row.mtime_ns is not None:
                self.batch.put_source(row)
        if row.hash and row.mtime_ns == found.mtime_ns and row.size == found.size:
            self._keep(row)
            return
        began = time.time_ns()
        try:
            if row.hash not in (None, NO_TEXT) and row.hash == _file_hash(found.path):
                self.batch.put_source(_looked_at(row, found, began, row.hash))
                self._keep(row)
                return
            self._take_documents(found, row)
            digest = _file_hash(found.path)
        except NotADocument as error:
            if row.hash not in (None, NO_TEXT) or found.id == root:
                self.tally.skipped.append(Skipped(found.id, str(error)))
                return
            self.tally.ignored += 1
            self.batch.put_source(_looked_at(row, found, began, NO_TEXT))
            return
        except (ReadError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.tally.skipped.append(Skipped(found.id, reason or str(error)))
            return
        self.batch.put_source(_looked_at(row, found, began, digest))

    def _keep(self, row: SourceRow) -> None:
        if row.hash == NO_TEXT:
            self.tally.ignored += 1
        else:
            self._kept.append(row.id)

    def _count_kept(self) -> None:
        self.tally.unchanged += documents.count_of(self.store, self._kept)
        self._kept.clear()

    def _take_documents(self, found: Found, row: SourceRow) -> None:
        vanished = dict.fromkeys(documents.keys_of(self.store, row.id))
        skipped = len(self.tally.skipped)
        some = self._documents(found, row)
        for put in self.batch.put_all(some, row.id, found.mtime_ns / 1e9):
            vanished.pop(put.key, None)
        if self._prune and len(self.tally.skipped) == skipped:
            for key in vanished:
                self.batch.remove(key)

    def _documents(self, found: Found, row: SourceRow) -> Iterator[Document]:
        """The documents of a file; what of it is none is noted."""
        referred = False
        for item in _read_whole(found):
            if isinstance(item, Skipped):
                self.tally.skipped.append(item)
                continue
            if not referred:
                # Its documents refer to the row; until all are in, it says "read it again".
                self.batch.put_source(replace(row, mtime_ns=None, hash=None))
                referred = True
            yield documents.storable(item)

    def _remove_vanished(self, root: str, home: str, kept: list[str]) -> None:
        self.batch.flush()
        vanished = [
            row
            for row in sources.others(self.store, self._seen)
            if is_within(row.name, root)
            and not any(is_within(row.name, folder) for folder in kept)
            # What another source below this one brought in, and this walk leaves out (a hidden
            # folder, named itself), only goes when it is gone.
            and (is_within(root, row.root) or _is_gone(home, row.name))
        ]
        for row in vanished:
            for key in documents.keys_of(self.store, row.id):
                self.batch.remove(key)
            self.batch.remove_source(row.id)
        self.batch.flush()


def _is_gone(home: str, name: str) -> bool:
    # A name with an escaped byte cannot be turned back into a path: it counts as there.
    return "\\x" not in name and not os.path.lexists(os.path.join(home, name))


def _looked_at(row: SourceRow, found: Found, began: int, hash: str) -> SourceRow:
    """The row of a file that was read from `began` on, in ns: how the next run knows it again."""
    try:
        now = os.stat(found.path)
    except OSError:
        return replace(row, mtime_ns=None, size=found.size, hash=None)
    if (now.st_mtime_ns, now.st_size) != (found.mtime_ns, found.size):
        # It changed under the reader: what was read and what was hashed may not be the same.
        return replace(row, mtime_ns=None, size=now.st_size, hash=None)
    settled = began - found.mtime_ns >= SETTLED_NS
    mtime_ns = found.mtime_ns if settled else None
    return replace(row, mtime_ns=mtime_ns, size=found.size, hash=hash)


def _file_hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_whole(found: Found) -> Iterator[Document | Skipped]:
    """The documents of a file that can be read to its end; ReadError before the first if not.

    So that the last good version of a file stays whole. A small file is held in memory, a large one
    is read twice.
    """
    held: list[Document | Skipped] = []
    characters = 0
    reader = read(found.path, found.id)
    for item in reader:
        held.append(item)
        characters += len(item.text) if isinstance(item, Document) else 0
        if characters > HELD_CHARACTERS:
            break
    else:
        return iter(held)
    for _ in reader:
        pass
    return read(found.path, found.id)
