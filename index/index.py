"""The write entry: Index."""

import json
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import exchange
from .batch import Batch, EncoderLike
from .calibration import calibrate
from .config import Options
from .encoder import Encoder
from .errors import IndexMismatch, UsageError
from .files import DATABASE
from .merge import merge_small, optimize
from .reencode import reencode
from .repair import repair
from .report import Progress, Put, SyncReport, Tally
from .store import documents as stored
from .store import manifest, sources
from .store.connection import named_errors, reading
from .store.settings import Settings
from .store.store import Store
from .sync import sync
from .types import Document
from .vectors.kinds import NAMES, name_of


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """Segments, tombstones and bytes on disk, before and after.

    `kind` is that of the segment which holds the most passages: `exact`, `compact` or `fast`.
    `recall` is recall@10 on questions made of its passages, where a compact or fast one was
    tuned; None where there was nothing to tune.
    """

    segments_before: int
    tombstones_before: int
    bytes_before: int
    segments: int
    tombstones: int
    bytes: int
    kind: str
    recall: float | None


class Index:
    """An index, open for writing: one process at a time. Readers use `clsearch.Searcher`.

    A context manager. All that a method did is committed when it returns. `recovered` says what an
    earlier run left behind and what became of it. Threads may share it: their calls take turns.
    """

    def __init__(self, store: Store, encoder: EncoderLike | None) -> None:
        """Of an open store; `open` is the way in."""
        self.path = store.index
        self._store = store
        self._encoder = encoder
        self._turn = threading.RLock()  # inside of its turn, a call asks for `encoder`
        self._closed = False
        self.recovered: tuple[str, ...] = manifest.recover(store)

    @classmethod
    def open(
        cls,
        path: str | Path,
        model: str | None = None,
        pooling: str | None = None,
        encoder: EncoderLike | None = None,
    ) -> "Index":
        """Open the index in the folder `path`, and make it where missing.

        A new index is made with `model` (`embedded`, a folder or a hub name) and `pooling`, or with
        an `encoder` of your own; one that exists opens with what it was made with, and the
        arguments are only compared. Its encoder is loaded when the first method needs it.

        Raises `IndexLocked` where another process writes, `IndexMismatch` where the index was made
        by another encoder or a newer clsearch, `IndexDamaged`, `IndexUnwritable`, `ModelError`.
        """
        path = Path(path)
        if not _is_made(path) and encoder is None:
            encoder = _tried(model, pooling)
        store = Store.open(path)
        try:
            if store.is_new:
                encoder = encoder or _tried(model, pooling)
                store.create(_settings(encoder, pooling))
            elif encoder is None and (model or pooling):
                encoder = _load(store, model, pooling)
            if encoder is not None:
                _compare(store, encoder, pooling)
            with reading(path):
                return cls(store, encoder)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the index, once a call that another thread is in has ended.

        Then another process may write, and every call raises `UsageError`.
        """
        with self._turn:
            if not self._closed:
                self._closed = True
                self._store.close()

    def __enter__(self) -> "Index":
        """Nothing more: the index is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the index."""
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One thread at a time, on an index that is open; SQLite's errors in our words."""
        with self._turn:
            if self._closed:
                raise UsageError(f"the index at {str(self.path)!r} was closed: open it again")
            with named_errors(self.path):
                yield

    @property
    def encoder(self) -> EncoderLike:
        """The encoder that the index was made with; loaded on first use.

        Raises `IndexMismatch` where today's model is not the one of then.
        """
        with self._writing():
            if self._encoder is None:
                encoder = _load(self._store, None, None)
                _compare(self._store, encoder)
                self._encoder = encoder
            return self._encoder

    def sync(
        self,
        sources: Sequence[str | Path],
        prune: bool = True,
        progress: Callable[[Progress], None] | None = None,
    ) -> SyncReport:
        """Make the index say what these files and folders say now.

        New and changed documents are read and encoded, unchanged ones cost a stat, vanished ones
        leave (not with `prune=False`). A document's id is its path relative to the folder that
        holds the index folder. What cannot be read is in the report's `skipped`, and what the index
        has of it stays. Commits as it goes: an interrupted run goes on where it stopped.

        Raises `SourceError`, before anything changes, where a source is missing.
        """
        if isinstance(sources, str | Path):
            raise UsageError(f"a list of sources was expected, not one: [{str(sources)!r}]")
        with self._writing():
            tally = sync(self._store, self.encoder, sources, prune, progress)
            merge_small(self._store)
            calibrate(self._store, self.encoder)
        return tally.report(self.recovered)

    def add(self, documents: Iterable[Mapping[str, Any] | Document]) -> SyncReport:
        """Add documents, or bring those of the same id up to date.

        Mappings have "id" and "text", and may have "title" and "metadata" (a mapping that JSON can
        hold). They belong to no source: `sync` leaves them alone. Commits as it goes.

        Raises `UsageError` at the first that is none; those before it may be committed.
        """
        return self._add(documents, lambda put: None)

    def put(self, documents: Sequence[Mapping[str, Any] | Document]) -> list[Put]:
        """As `add`, and say what became of each."""
        puts: list[Put] = []
        self._add(documents, puts.append)
        return puts

    def _add(
        self, documents: Iterable[Mapping[str, Any] | Document], told: Callable[[Put], None]
    ) -> SyncReport:
        tally = Tally()
        with self._writing():
            batch = Batch(self._store, self.encoder, tally)
            batch.encode_waiting()
            given = (stored.storable(checked(one, number)) for number, one in enumerate(documents))
            for put in batch.put_all(given, source=None, mtime=None):
                told(put)
            batch.flush()
            merge_small(self._store)
            calibrate(self._store, self.encoder)
        return tally.report(self.recovered)

    def import_from(
        self,
        source: str | Path,
        format: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SyncReport:
        """Add the documents of an export, or of a file of JSON lines or Parquet, as `add` does.

        `source` is a folder that `clsearch export` made, one in BEIR's layout, or a file; without a
        `format` (`parquet`, `jsonl`, `beir`) it is recognised. Passages take their vectors from an
        export where encoder and text are the same, and are encoded otherwise. A document that is
        there as it is stays with the source that brought it.

        Raises `UsageError` at the first that is none; those before it may be committed.
        """
        found = exchange.find(source, format)
        with self._writing():
            tally = exchange.take_in(self._store, self.encoder, found, progress)
            merge_small(self._store)
            calibrate(self._store, self.encoder)
        return tally.report(self.recovered)

    def remove(self, document_ids: Sequence[str]) -> int:
        """Remove documents by id, in one commit -> how many there were.

        Where a file or record is still in its source, the next `sync` brings it back.
        """
        if isinstance(document_ids, str):
            raise UsageError(f"a list of ids was expected, not one string: [{document_ids!r}]")
        store = self._store
        with self._writing():
            rows = [stored.find(store, id) for id in dict.fromkeys(document_ids)]
            found = [row for row in rows if row]
            if found:
                with store.transaction():
                    for row in found:
                        stored.remove(store, row.key)
                    for source in {row.source for row in found if row.source is not None}:
                        sources.forget(store, source)
        return len(found)

    def optimize(self, kind: str | None = None, recall: float | None = None) -> OptimizeReport:
        """Merge the segments, drop deleted passages from them, and give free space back.

        `kind` is `exact`, `compact` or `fast` (docs/vectors.md); None keeps the kind that the index
        has, else chooses by size. `recall` is the recall@10 that a compact or fast one is tuned to,
        on questions made of its passages: without one 0.99 up to 200,000 passages, 0.98 above.
        Nothing is encoded. UsageError for another
        kind, or a recall that is not between 0 and 1.
        """
        if kind is not None and kind not in NAMES:
            raise UsageError(f"kind is {kind!r}: there are {', '.join(NAMES)}")
        if recall is not None and not 0 < recall <= 1:
            raise UsageError(f"recall is {recall}: a share of the ten best, above 0 and up to 1")
        store = self._store
        with self._writing():
            before = _size(store)
            found = optimize(store, kind, recall)
            store.compact()
            after = _size(store)
            rows = manifest.live_segments(store).values()
        largest = max(rows, key=lambda row: row.passages, default=None)
        return OptimizeReport(
            *before,
            *after,
            kind=name_of(largest.kind) if largest else "exact",
            recall=round(found.mean, 4) if found else None,
        )

    def reencode(
        self,
        model: str | None = None,
        pooling: str | None = None,
        encoder: EncoderLike | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SyncReport:
        """Encode everything again, from the text in the index, with another model.

        Without arguments: with the model of the same name as it is today. One commit at the end
        switches over; interrupted, nothing has changed. Needs none of the sources.
        """
        with self._writing():
            if encoder is None:
                encoder = _load(self._store, model, pooling)
            options = Options(encoder.name, pooling)
            tally = reencode(self._store, encoder, options, progress)
            self._encoder = encoder  # the commit is done, whatever becomes of the measuring
            calibrate(self._store, encoder)
        return tally.report(self.recovered)

    def repair(self) -> SyncReport:
        """Put right what `clsearch.index.check.check` finds, from the text in the index."""
        with self._writing():
            tally, messages = repair(self._store, self.encoder)
        return tally.report(self.recovered + messages)


def checked(given: Mapping[str, Any] | Document, number: int) -> Document:
    """A document from what a caller gave as the `number`th, counted from 0.

    Raises `UsageError` naming what is wrong.
    """
    if isinstance(given, Document):
        return given
    where = f"document {number}"
    if not isinstance(given, Mapping):
        raise UsageError(f"{where} is no mapping and no Document: {type(given).__name__}")
    unknown = set(given) - {"id", "title", "text", "metadata"}
    if unknown:
        raise UsageError(
            f"{where} has the unknown key {min(map(repr, unknown))}; "
            "there are id, title, text and metadata: put all else into metadata"
        )
    values = {"title": "", "metadata": {}, **given}
    for key in ("id", "text", "title"):
        if not isinstance(values.get(key), str):
            raise UsageError(f"{where}: {key!r} must be a string, not {values.get(key)!r:.60}")
    if not values["id"]:
        raise UsageError(f"{where}: 'id' must not be empty")
    metadata = values["metadata"]
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: 'metadata' is not JSON: {error}") from error
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise UsageError(f"{where}: 'metadata' must be a mapping with strings for keys")
    return Document(values["id"], values["title"], values["text"], metadata)


def _is_made(path: Path) -> bool:
    """Whether there is a database that is more than an empty file."""
    try:
        return (path / DATABASE).stat().st_size > 0
    except OSError:
        return False


def _settings(encoder: EncoderLike, pooling: str | None) -> Settings:
    return Settings(Options(encoder.name, pooling), encoder.fingerprint, dict(encoder.declaration))


def _load(store: Store, model: str | None, pooling: str | None) -> Encoder:
    """The encoder that the index was made with, but for what is named."""
    made = store.settings.options
    if model is None:
        return Encoder.load(made.model, pooling or made.pooling)
    return Encoder.load(model, pooling)


def _tried(model: str | None, pooling: str | None) -> Encoder:
    """The encoder for a new index: one that is not there, or cannot run, makes none."""
    encoder = Encoder.load(model or Options().model, pooling)
    encoder.encode_queries(["a"])
    return encoder


def _compare(store: Store, encoder: EncoderLike, pooling: str | None = None) -> None:
    made = store.settings
    if made.fingerprint == encoder.fingerprint:
        return
    asked = f" --model {shlex.quote(encoder.name)}" if encoder.name != made.options.model else ""
    asked += f" --pooling {shlex.quote(pooling)}" if pooling else ""
    raise IndexMismatch(
        f"the index at {str(store.index)!r} was made with the encoder {made.options.model!r} "
        f"({made.fingerprint[:12]}), not with {encoder.name!r} ({encoder.fingerprint[:12]}) as it "
        f"is now. Run `clsearch index --reencode{asked}` to encode it again, from the text it "
        "holds, or name another folder with --index."
    )


def _size(store: Store) -> tuple[int, int, int]:
    live = manifest.live_segments(store)
    with named_errors(store.index):
        tombstones = store.database.execute("SELECT count(*) FROM tombstones").fetchone()[0]
    size = (store.index / DATABASE).stat().st_size + sum(row.bytes for row in live.values())
    return len(live), tombstones, size
