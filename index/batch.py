"""Documents to passages to vectors, a batch at a time: what sync, add and repair share."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from . import vectors
from .errors import ModelError
from .passages import Spans, encoded_text, encoded_texts, split_all
from .report import Put, Tally
from .store import documents, manifest, passages, sources
from .store.rows import DocumentRow, NewDocument, NewPassage, PassageRow, SourceRow
from .store.store import Store
from .types import Document, Json, Passage, SegmentRow
from .vectors import Segment

# A commit is due after so many passages, or documents, or characters, or seconds. What two have is
# done again at most after an interrupted run, and held in memory. Where passages come fast, few
# large commits take less time than many small ones; what they write must fit into the cache of a
# transaction (store.py).
PASSAGES = 4_096
DOCUMENTS = 8_192
CHARACTERS = 16_000_000
SECONDS = 30.0

# So many seconds what can be committed waits for texts to be encoded meanwhile.
PATIENCE = 1.0

# So many documents are looked up, and cut, together; fewer where they are long.
TOGETHER = 64
MANY_CHARACTERS = 1_000_000

# So many texts go to the encoder at once: enough for it to sort them by length.
SLICE = 512

# Passages that wait for a vector, of which so many are given one in a commit.
WAITING = 4 * SLICE

# Segments stay open, so that passages which are there already can take their vectors, up to so many
# bytes together.
OPENED_BYTES = 64_000_000

NONE: Mapping[str, NDArray[np.float32]] = {}


class EncoderLike(Protocol):
    """What an index asks of an encoder; `clsearch.Encoder` is one. Vectors are of unit length."""

    @property
    def name(self) -> str:
        """What loads it again: `embedded`, a folder or a hub name."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    @property
    def room(self) -> int:
        """Tokens left for a passage and what stands above it."""

    @property
    def fingerprint(self) -> str:
        """A hash over everything that changes the vectors."""

    @property
    def declaration(self) -> Mapping[str, Json]:
        """What the encoder is made of, as JSON."""

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[n, dimension]`."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[n, dimension]`."""

    def token_spans(self, texts: Sequence[str]) -> Sequence[Spans]:
        """[start, end) of each token of each text, in code points."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to become of one document; `passages` pairs the new ones with the row they keep."""

    key: int
    source: int | None
    mtime: float | None
    document: Document
    passages: list[tuple[Passage, str, PassageRow | None]]
    dropped: list[int]


@dataclass(slots=True)
class _Waiting:
    """What one commit is to change.

    `hashes` are of the texts that need a vector for it; `since` is when it began to fill, or was
    closed.
    """

    plans: dict[str, _Plan] = field(default_factory=dict)
    planned: set[int] = field(default_factory=set)
    sources: dict[str, SourceRow] = field(default_factory=dict)
    gone: dict[int, None] = field(default_factory=dict)
    gone_sources: list[int] = field(default_factory=list)
    hashes: set[str] = field(default_factory=set)
    count: int = 0
    characters: int = 0
    since: float = field(default_factory=time.monotonic)

    def __bool__(self) -> bool:
        return bool(self.plans or self.sources or self.gone or self.gone_sources)

    @property
    def is_full(self) -> bool:
        """Whether it is as large as a commit may be."""
        return (
            self.count >= PASSAGES
            or len(self.plans) + len(self.gone) + len(self.sources) >= DOCUMENTS
            or self.characters >= CHARACTERS
        )

    @property
    def is_late(self) -> bool:
        """Whether it has waited for as long as it may."""
        return time.monotonic() - self.since >= SECONDS


class _Cut(NamedTuple):
    """A passage, and what the encoder is given for it."""

    passage: Passage
    text: str
    hash: str


class _Slice(threading.Thread):
    """Texts, by hash, on their way through the encoder, while the next are read and split."""

    def __init__(self, encoder: EncoderLike, texts: dict[str, str]) -> None:
        """Begin at once. A process that is interrupted waits for no other slice after this one."""
        super().__init__(name="passages", daemon=True)
        self.texts = texts
        self._encoder = encoder
        self._encoded: NDArray[np.float32] | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """What the thread does."""
        try:
            self._encoded = self._encoder.encode_passages(list(self.texts.values()))
        except BaseException as error:
            self._error = error

    def vectors(self) -> Mapping[str, NDArray[np.float32]]:
        """By hash, once they are there.

        Raises what the encoder has raised, or ModelError for an OSError: it is of no file that is
        read meanwhile.
        """
        self.join()
        if isinstance(self._error, OSError):
            raise ModelError(f"passages could not be encoded: {self._error}") from self._error
        if self._encoded is None:
            assert self._error is not None
            raise self._error
        return dict(zip(self.texts, self._encoded, strict=True))


class Batch:
    """Changes that wait for the next commit. Nothing is lost or half done where it is dropped.

    As many as a commit may have are written once their texts are encoded and the first texts after
    them are on their way to the encoder, which so works meanwhile. A few that are late are written
    at once: documents come slowly then.
    """

    def __init__(
        self,
        store: Store,
        encoder: EncoderLike,
        tally: Tally,
        encoded: Callable[[], None] = lambda: None,
    ) -> None:
        """`encoded` is called after each slice of texts that went through the encoder."""
        self.store = store
        self.tally = tally
        self._encoder = encoder
        self._after_slice = encoded
        self._next_key = documents.next_key(store)
        self._next_source = sources.next_id(store)
        self._opened: dict[int, Segment] = {}
        self._slice: _Slice | None = None
        self._held: dict[str, tuple[int, int]] = {}
        self._texts: dict[str, str] = {}
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._copies: dict[str, tuple[int, int]] = {}
        self._waiting = _Waiting()
        self._closed = _Waiting()  # what is written before it
        self._last: _Slice | None = None  # with the last texts of what is closed

    def waiting_source(self, name: str) -> SourceRow | None:
        """The row of a file that waits for the commit, None where none does."""
        return self._waiting.sources.get(name) or self._closed.sources.get(name)

    def new_source_id(self) -> int:
        """An id for a file that was never read."""
        self._next_source += 1
        return self._next_source - 1

    def put_source(self, row: SourceRow) -> None:
        """Insert or replace the row of a file."""
        self._waiting.sources[row.name] = row
        self.commit_if_due()

    def put(
        self,
        document: Document,
        source: int | None,
        mtime: float | None,
        given: Mapping[str, NDArray[np.float32]] = NONE,
    ) -> Put:
        """Add a document, or bring it up to date. It is committed whole, now or later.

        The document must be `documents.storable`. `given` are vectors that need not be encoded, by
        `text_hash`.
        """
        return self._put_together([document], source, mtime, given)[0]

    def put_all(
        self, some: Iterable[Document], source: int | None, mtime: float | None
    ) -> Iterator[Put]:
        """As `put` of each in turn: some are looked up, and cut, together."""
        waiting: dict[str, Document] = {}
        characters = 0
        for document in some:
            if waiting and (
                document.id in waiting
                or len(waiting) == TOGETHER
                or characters > MANY_CHARACTERS
                or self._waiting.is_late
            ):
                yield from self._put_together([*waiting.values()], source, mtime)
                waiting, characters = {}, 0
            waiting[document.id] = document
            characters += len(document.text)
        if waiting:
            yield from self._put_together([*waiting.values()], source, mtime)

    def _put_together(
        self,
        some: Sequence[Document],
        source: int | None,
        mtime: float | None,
        given: Mapping[str, NDArray[np.float32]] = NONE,
    ) -> list[Put]:
        """As `put` of each, no two of which are of one id."""
        rows = self._stored(some)
        if any(
            any(document.id in waiting.plans for document in some)
            or any(row.key in waiting.gone for row in rows.values())
            for waiting in (self._closed, self._waiting)
        ):
            self.flush()
            rows = self._stored(some)
        same = {
            document.id
            for document in some
            if (row := rows.get(document.id))
            and row.source == source
            and row.hash == documents.content_hash(documents.columns(document))
        }
        changed = [document for document in some if document.id not in same]
        cuts = iter(self._cut(changed))
        puts = []
        for document in some:
            row = rows.get(document.id)
            if row and document.id in same:
                self.tally.unchanged += 1
                puts.append(Put(document.id, "unchanged", 0, 0, row.key))
                self.commit_if_due()
                continue
            before, key = self.tally.reused, row.key if row else self._next_key
            old = passages.of_document(self.store, key) if row else []
            count = self._plan(key, source, mtime, document, next(cuts), old, given)
            reused = self.tally.reused - before
            if row:
                self.tally.updated += 1
            else:
                self.tally.added += 1
                self._next_key += 1
            result: Literal["created", "updated"] = "updated" if row else "created"
            puts.append(Put(document.id, result, count - reused, reused, key))
            self.commit_if_due()
        return puts

    def _stored(self, some: Sequence[Document]) -> dict[str, DocumentRow]:
        return documents.find_all(self.store, [document.id for document in some])

    def _cut(self, some: Sequence[Document]) -> list[list[_Cut]]:
        """The passages of each document; vectors that there are for them are noted."""
        every: list[list[_Cut]] = []
        split = split_all(some, self._encoder.token_spans, self._encoder.room)
        for document, found in zip(some, split, strict=True):
            every.append([])
            for passage in found:
                text = encoded_text(document.title, passage.heading, passage.text)
                every[-1].append(_Cut(passage, text, text_hash(text)))
        self._look_up([cut.hash for cuts in every for cut in cuts])
        return every

    def renew(self, key: int) -> None:
        """Split a stored document again, and put right what the database says of it."""
        document, source, mtime = documents.salvage_with_source(self.store, key)
        [cuts] = self._cut([document])
        self._plan(key, source, mtime, document, cuts, passages.of_document(self.store, key))
        self.tally.updated += 1
        self.commit_if_due()

    def _plan(
        self,
        key: int,
        source: int | None,
        mtime: float | None,
        document: Document,
        cuts: Sequence[_Cut],
        old: list[PassageRow],
        given: Mapping[str, NDArray[np.float32]] = NONE,
    ) -> int:
        """Plan the passages of a document -> how many there are."""
        by_hash: dict[str, list[PassageRow]] = {}
        for row in reversed(old):
            by_hash.setdefault(row.hash, []).append(row)
        planned: list[tuple[Passage, str, PassageRow | None]] = []
        for passage, text, hash in cuts:
            kept = by_hash[hash].pop() if by_hash.get(hash) else None
            planned.append((passage, hash, kept))
            if kept is None or kept.segment is None:
                self._want(hash, text, given)
                self._waiting.count += 1
            else:
                self.tally.reused += 1
        dropped = [row.id for rows in by_hash.values() for row in rows]
        self._waiting.plans[document.id] = _Plan(key, source, mtime, document, planned, dropped)
        self._waiting.planned.add(key)
        self._waiting.characters += len(document.text)
        return len(planned)

    def _look_up(self, hashes: Sequence[str]) -> None:
        """Note which of the texts have a vector in the index, before they are wanted."""
        self._held = passages.with_vectors(self.store, hashes)

    def _want(self, hash: str, text: str, given: Mapping[str, NDArray[np.float32]] = NONE) -> None:
        """See to it that there is a vector for this text when what waits is committed."""
        self._waiting.hashes.add(hash)
        coming = self._slice.texts if self._slice else {}
        if any(hash in some for some in (self._vectors, self._texts, self._copies, coming)):
            self.tally.reused += 1
            return
        if hash in given or hash in self._held:
            if hash in given:
                self._vectors[hash] = given[hash]
            else:
                self._copies[hash] = self._held[hash]
            self.tally.reused += 1
            return
        self._texts[hash] = text
        if len(self._texts) >= SLICE:
            self._encode()

    def _encode(self) -> None:
        """Send the texts that wait to the encoder, as soon as it has done those before them."""
        self._take_encoded()
        if self._texts:
            self._slice = _Slice(self._encoder, self._texts)
            self._texts = {}

    def _take_encoded(self) -> None:
        """Wait for the texts that were sent."""
        if self._slice is None:
            return
        done, self._slice = self._slice, None
        try:
            self._vectors.update(done.vectors())
        except BaseException:
            self._texts = done.texts | self._texts  # they still wait
            raise
        self.tally.encoded += len(done.texts)
        self._after_slice()

    def remove(self, key: int) -> None:
        """Remove a stored document, unless another source has brought it up to date meanwhile."""
        if key in self._waiting.planned or key in self._closed.planned:
            return
        self._waiting.gone[key] = None
        self.tally.removed += 1
        self.commit_if_due()

    def remove_source(self, id: int) -> None:
        """Remove the row of a file whose documents are removed."""
        self._waiting.gone_sources.append(id)

    def encode_waiting(self) -> None:
        """Give a vector to all passages that have none, from the text in the database."""
        self.flush()
        while rows := passages.waiting(self.store, WAITING):
            key, document = 0, None
            self._look_up([row.hash for _, row in rows])
            for row_key, row in rows:
                if document is None or key != row_key:
                    key, document = row_key, documents.read(self.store, row_key)
                passage = document.text[row.start : row.end]
                texts = encoded_texts(document.title, row.heading, passage)
                text = next((text for text in texts if text_hash(text) == row.hash), texts[0])
                self._want(row.hash, text)
            self._encode()
            self._take_encoded()
            ids = [row.id for _, row in rows]
            segment = self._write(ids, [row.hash for _, row in rows])
            with self.store.transaction():
                passages.give_vectors(self.store, ids, manifest.add_segment(self.store, segment))
                self._note_engines()
            self._waiting = _Waiting()
            self._forget_vectors()

    def commit_if_due(self) -> None:
        """Commit what is to be committed by now. To be asked also where nothing has changed."""
        if self._waiting.is_late and self._waiting.count < SLICE:
            self.flush()
            return
        if self._closed and self._is_ready():
            self._commit()
        if self._waiting.is_full or self._waiting.is_late:
            self._encode()
            self._close()

    def flush(self) -> None:
        """Commit all that waits; nothing where nothing does."""
        self._encode()
        self._close()
        self._commit()
        self._take_encoded()

    def _is_ready(self) -> bool:
        """Whether what is closed is to be written now.

        It is encoded, and the next texts are on their way; or none come, so that there is nothing
        to wait for.
        """
        if self._slice is not self._last:
            return True
        waited = time.monotonic() - self._closed.since
        return waited >= PATIENCE and not (self._last and self._last.is_alive())

    def _close(self) -> None:
        """Let what waits, whose texts have been sent, be the next to be committed."""
        self._commit()
        self._closed, self._waiting, self._last = self._waiting, _Waiting(), self._slice
        self._closed.since = time.monotonic()

    def _commit(self) -> None:
        """Commit what is closed, in one transaction, once it is encoded."""
        closed = self._closed
        if not closed:
            return
        if not closed.hashes <= self._vectors.keys() | self._copies.keys():
            if self._slice is None:  # the encoder has failed on them before
                self._encode()
            self._take_encoded()
        next_id = passages.next_id(self.store)
        fresh: dict[int, str] = {}
        ids: list[list[int]] = []
        for plan in closed.plans.values():
            ids.append([])
            for _, hash, kept in plan.passages:
                id = kept.id if kept else next_id
                next_id += kept is None
                ids[-1].append(id)
                if kept is None or kept.segment is None:
                    fresh[id] = hash
        order = sorted(fresh)
        written = self._write(order, [fresh[id] for id in order]) if order else None
        store = self.store
        with store.transaction():
            for row in closed.sources.values():
                sources.write(store, row)
            segment = manifest.add_segment(store, written) if written else 0
            self._write_plans(closed, ids, segment)
            self._note_engines()
            for key in closed.gone:
                documents.remove(store, key)
            for source in closed.gone_sources:
                sources.remove(store, source)
        self._held |= {hash: (segment, id) for id, hash in fresh.items()}
        self._closed = _Waiting()
        self._forget_vectors()

    def _forget_vectors(self) -> None:
        """Let go of those that nothing needs which waits; copies, so that no slice is held."""
        wanted = self._waiting.hashes & self._vectors.keys()
        self._vectors = {hash: self._vectors[hash].copy() for hash in wanted}

    def _write_plans(self, closed: _Waiting, ids: list[list[int]], segment: int) -> None:
        """Write the documents that are planned; their passages have these ids."""
        store, plans = self.store, closed.plans.values()
        documents.write(
            store, [NewDocument(plan.key, plan.source, plan.mtime, plan.document) for plan in plans]
        )
        new: list[NewPassage] = []
        for plan, plan_ids in zip(plans, ids, strict=True):
            title = plan.document.title
            passages.remove(store, plan.dropped)
            for id, (passage, hash, kept) in zip(plan_ids, plan.passages, strict=True):
                if kept is None:
                    new.append(NewPassage(id, plan.key, title, passage, hash, segment))
                    continue
                passages.move(store, kept, title, passage)
                if kept.segment is None:
                    passages.give_vectors(store, [id], segment)
        passages.insert(store, new)

    def _note_engines(self) -> None:
        """Add what has encoded passages to what the index says of itself."""
        settings = self.store.settings
        known, used = _engines(settings.declaration), _engines(self._encoder.declaration)
        if not used <= known:
            engines: list[Json] = [*sorted(known | used)]
            declaration = {**settings.declaration, "engines": engines}
            self.store.save(replace(settings, declaration=declaration))

    def _write(self, ids: list[int], hashes: list[str]) -> SegmentRow:
        """A segment file, durable and in no manifest yet; ids ascend."""
        copied: dict[int, list[tuple[str, int]]] = {}
        for hash, (segment, id) in self._copies.items():
            copied.setdefault(segment, []).append((hash, id))
        for segment, pairs in copied.items():
            found = self._segment(segment).vectors(np.array([id for _, id in pairs], np.int64))
            self._vectors.update(zip((hash for hash, _ in pairs), found, strict=True))
        self._copies.clear()
        stacked = np.stack([self._vectors[hash] for hash in hashes])
        return write_segment(
            self.store, np.array(ids, np.int64), stacked, self._encoder.fingerprint
        )

    def _segment(self, id: int) -> Segment:
        if id not in self._opened:
            row = manifest.live_segments(self.store)[id]
            if row.bytes + sum(one.row.bytes for one in self._opened.values()) > OPENED_BYTES:
                self._opened.clear()
            self._opened[id] = Segment.open(self.store.index, row)
        return self._opened[id]


def _engines(declaration: Mapping[str, Json]) -> set[str]:
    names = declaration.get("engines")
    return set(map(str, names)) if isinstance(names, list) else set()


def text_hash(encoded: str) -> str:
    """SHA-256 of the text that an encoder is given: equal texts share a vector."""
    return hashlib.sha256(encoded.encode()).hexdigest()


def write_segment(
    store: Store, ids: NDArray[np.int64], stacked: NDArray[np.float32], fingerprint: str
) -> SegmentRow:
    """Make a segment of vectors `[n, d]`, durable and in no manifest yet; `ids` `[n]` ascend."""
    dimension = stacked.shape[1]
    kind = vectors.choose(len(ids))
    data = vectors.build([(ids, stacked)], dimension, kind)
    name, digest = manifest.write_segment(store.index, data)
    return SegmentRow(
        name, kind, len(ids), dimension, len(data), digest, vectors.FAISS_VERSION, fingerprint
    )
