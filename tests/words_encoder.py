"""An encoder for tests: fast, deterministic, and near for texts that share words."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray


class WordsEncoder:
    """A fast deterministic encoder: each word is a fixed direction, a text the sum of its words.

    `encoded` lists all texts that went through `encode_passages`, so that a test can tell what was
    encoded again.
    """

    name = "words"
    max_length = 64
    room = 62

    def __init__(self, dimension: int = 32, seed: str = "") -> None:
        """Another dimension or seed is another encoder, with another fingerprint."""
        self.dimension = dimension
        self.fingerprint = hashlib.sha256(f"words {dimension} {seed}".encode()).hexdigest()
        self.declaration: Mapping[str, str | int] = {"model": "words", "dimension": dimension}
        self.encoded: list[str] = []
        self._seed = seed

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[n, dimension]`; remembers the texts."""
        self.encoded.extend(texts)
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[n, dimension]`."""
        sums = np.zeros((len(texts), self.dimension), np.float64)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()) or [""]:
                sums[row] += _direction(f"{self._seed}{word}", self.dimension)
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)

    def token_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """A word or a mark is a token."""
        found = (re.finditer(r"\w+|[^\w\s]", text) for text in texts)
        return [[match.span() for match in matches] for matches in found]


@cache  # words recur, and a generator of random numbers takes its time
def _direction(word: str, dimension: int) -> NDArray[np.float64]:
    digest = hashlib.sha256(word.encode()).digest()
    seed = int.from_bytes(digest[:8], "little")
    return np.random.default_rng(seed).standard_normal(dimension)
