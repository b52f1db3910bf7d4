"""Texts that several threads want encoded at once, encoded together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...index.batch import EncoderLike
from ..likeness import WordEncoder
from ..searcher import Warmed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...index.encoder.words import Words

    Vectors = NDArray[np.float32]

# Of so many bytes, queries have 100 to 200 tokens. More at once take as long as one after another,
# those who asked first wait longer, and the memory of the largest batch is never given back. In any
# language they are few enough not to go to the engine for many passages, whose vectors may be
# rounded: a query's snippets would depend on who else asks.
TOGETHER_BYTES = 600
# The special tokens of a text, as bytes of it.
SPECIAL_BYTES = 6


class BatchingEncoder:
    """An encoder for threads that ask at once: what comes while it works, it takes together.

    A call that finds it idle is encoded at once, alone. `alone` is the encoder itself, for what
    encodes many texts by one call.
    """

    def __init__(
        self, encoder: EncoderLike, batched: Callable[[int], None] = lambda texts: None
    ) -> None:
        """`batched` is told of each batch how many texts it has."""
        self.alone = encoder
        self._queries = _Line(encoder.encode_queries, batched)

    @property
    def fingerprint(self) -> str:
        """That of the encoder."""
        return self.alone.fingerprint

    def warm(self) -> None:
        """As the encoder's, where it has that."""
        if isinstance(self.alone, Warmed):
            self.alone.warm()

    def word_vectors(self, texts: Sequence[str]) -> Words | None:
        """As the encoder's, where it has that."""
        return self.alone.word_vectors(texts) if isinstance(self.alone, WordEncoder) else None

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """As the encoder's, float32 [n, d]."""
        return self._queries.encode(texts)


class _Call:
    """Texts that wait for their vectors. Whoever waits is woken to find them, or to encode."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.bytes = sum(len(text.encode(errors="replace")) + SPECIAL_BYTES for text in texts)
        self.woken = threading.Event()
        self.vectors: Vectors | None = None
        self.error: BaseException | None = None


class _Line:
    """Calls. One thread encodes, for itself and for those that wait behind it."""

    def __init__(
        self, encode: Callable[[Sequence[str]], Vectors], batched: Callable[[int], None]
    ) -> None:
        self._encode = encode
        self._batched = batched
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._busy = False

    def encode(self, texts: Sequence[str]) -> Vectors:
        call = _Call(texts)
        with self._lock:
            self._waiting.append(call)
            first, self._busy = not self._busy, True
        if not first:
            call.woken.wait()
        if call.vectors is None and call.error is None:
            self._work()
        if call.error is not None:
            raise call.error
        assert call.vectors is not None
        return call.vectors

    def _work(self) -> None:
        """Encode the first that waits and what fits beside it, and wake the next."""
        with self._lock:
            batch = self._taken()
        try:
            self._fill(batch)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._busy = following is not None
            for call in batch:
                call.woken.set()
            if following is not None:
                following.woken.set()

    def _taken(self) -> list[_Call]:
        size = count = 0
        for call in self._waiting:
            size += call.bytes
            if count and size > TOGETHER_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _fill(self, batch: list[_Call]) -> None:
        texts = [text for call in batch for text in call.texts]
        self._batched(len(texts))
        try:
            vectors = self._encode(texts)
        except BaseException as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for call in batch:  # one of them cannot be encoded: only that one is to hear of it
                self._fill([call])
            return
        for call in batch:
            call.vectors, vectors = vectors[: len(call.texts)], vectors[len(call.texts) :]
