"""The indexes of a server by name, and the encoders that they share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from ...index.config import INDEX_NAME
from ...index.errors import IndexMismatch, ModelError, UsageError
from ...index.store.snapshot import Snapshot
from ..searcher import Searcher
from .batching import BatchingEncoder
from .errors import IndexUnknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...index.batch import EncoderLike

T = TypeVar("T")

# (model, pooling) -> an encoder; `Encoder.load`, or your own.
Load = Callable[[str, str | None], "EncoderLike"]


def load_encoder(model: str, pooling: str | None) -> EncoderLike:
    """The encoder of a model, as `Encoder.load` gives it."""
    from ...index.encoder import Encoder

    return Encoder.load(model, pooling)


class Encoders:
    """One encoder for each fingerprint, as long as an index is read with it."""

    def __init__(self, load: Load, batched: Callable[[int], None]) -> None:
        """`batched` is told of each batch, as by a `BatchingEncoder`."""
        self._load = load
        self._batched = batched
        self._lock = threading.Lock()
        self._known: WeakValueDictionary[str, BatchingEncoder] = WeakValueDictionary()

    def of(self, path: Path) -> BatchingEncoder:
        """The encoder of an index. IndexMismatch where its model gives other vectors today."""
        with Snapshot.open(path) as snapshot:
            options, fingerprint = snapshot.options, snapshot.fingerprint
        with self._lock:
            found = self._known.get(fingerprint)
            if found is None:
                encoder = self._load(options.model, options.pooling)
                if encoder.fingerprint != fingerprint:
                    raise IndexMismatch(
                        f"the index {str(path)!r} was made with another encoder than"
                        f" {options.model!r} is today: bring the old model back, or run"
                        " `clsearch index --reencode`; lexical search works meanwhile"
                    )
                found = self._known[fingerprint] = BatchingEncoder(encoder, self._batched)
            return found


class _NotLoaded(ModelError):
    """Vectors are asked for, and the encoder could not be loaded when the index was opened."""


class _NoEncoder:
    """In place of an encoder that could not be loaded."""

    @property
    def fingerprint(self) -> str:
        raise _NotLoaded("the encoder is not loaded")

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise _NotLoaded("the encoder is not loaded")


class Served:
    """One index of the server."""

    def __init__(self, name: str, path: Path, encoders: Encoders) -> None:
        """IndexMissing and the like where it cannot be read; its encoder is not loaded yet."""
        self.name = name
        self.path = path
        self._encoders = encoders
        self._lock = threading.Lock()
        self._reopening = threading.Lock()
        self._open: Searcher | None = None
        self._encoder: BatchingEncoder | None = None
        Snapshot.open(path).close()

    @property
    def searcher(self) -> Searcher:
        """The index, open for reading and warm; by words alone where its encoder cannot be loaded.

        A query by vectors then says why, and each tries again.
        """
        with self._lock:
            if self._open is None:
                try:
                    searcher = Searcher.open(self.path, self.encoder)
                    searcher.warm()
                except (IndexMismatch, ModelError):
                    searcher = Searcher.open(self.path, _NoEncoder())
                self._open = searcher
            return self._open

    @property
    def encoder(self) -> BatchingEncoder:
        """Today's encoder of the index; ModelError or IndexMismatch where there is none."""
        self._encoder = self._encoders.of(self.path)
        return self._encoder

    def read(self, work: Callable[[Searcher], T]) -> T:
        """`work` on the searcher; on a new one where that lacks today's encoder of the index."""
        searcher = self.searcher
        try:
            return work(searcher)
        except (IndexMismatch, _NotLoaded):
            return work(self._reopened(searcher))

    def _reopened(self, old: Searcher) -> Searcher:
        """One with today's encoder, in place of `old`; ModelError or IndexMismatch without one.

        `old` is there meanwhile, for queries by words.
        """
        with self._reopening:
            if self._open is None or self._open is old:
                searcher = Searcher.open(self.path, self.encoder)
                searcher.warm()
                self._open = searcher
            return self._open

    def snapshot(self) -> Snapshot:
        """One commit of the index; to be closed soon."""
        return Snapshot.open(self.path)


class Indexes:
    """The indexes of a server. A request names one, and never a path."""

    def __init__(
        self,
        paths: Sequence[Path],
        load: Load = load_encoder,
        batched: Callable[[int], None] = lambda texts: None,
    ) -> None:
        """Of the folders `paths`; errors as of `Searcher.open`."""
        encoders = Encoders(load, batched)
        self._served = {name: Served(name, path, encoders) for name, path in named(paths).items()}

    def names(self) -> list[str]:
        """The names, in the order of the paths."""
        return list(self._served)

    def __iter__(self) -> Iterator[Served]:
        """All of them."""
        return iter(self._served.values())

    def get(self, name: str | None = None) -> Served:
        """The index of this name, or the only one. IndexUnknown, or UsageError without a name."""
        if name is None:
            if len(self._served) > 1:
                raise UsageError(f"name the index: there are {self._listed()}")
            return next(iter(self))
        if name not in self._served:
            raise IndexUnknown(f"there is no index {name!r}: there are {self._listed()}")
        return self._served[name]

    def _listed(self) -> str:
        return ", ".join(map(repr, self._served))


def name_of(path: Path) -> str:
    """What a server calls the index in a folder.

    >>> name_of(Path("/a/notes.clsearch")), name_of(Path("/a/notes/.clsearch"))
    ('notes', 'notes')
    """
    if path.name == INDEX_NAME:
        return path.parent.name or "index"
    return path.name.removesuffix(INDEX_NAME) or "index"


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Index folders by name: `notes`, and `notes-2` for another of the same name."""
    found: dict[str, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        first = name = name_of(path)
        number = 1
        while name in found:
            number += 1
            name = f"{first}-{number}"
        found[name] = path
    return found
