"""The vectors that a transformer begins with: a row of its table for each token."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .modules import Vectors, unit_length
from .tokenizer import Tokenizer
from .weights import Weights

_TABLE = "embeddings.word_embeddings.weight"


class Words(NamedTuple):
    """The tokens of a text: [start, end) in code points, and a vector of unit length, [n, d]."""

    spans: list[tuple[int, int]]
    vectors: Vectors


class WordTable:
    """The table of a model that `runs_in_numpy`. Only the rows of a text's tokens are read."""

    def __init__(self, file: Path, tokenizer: Tokenizer) -> None:
        """Of the weights in a file."""
        self._weights = Weights(file)
        [self._name] = (name for name in self._weights.names() if name.endswith(_TABLE))
        self._tokenizer = tokenizer

    def of(self, texts: Sequence[str]) -> list[Words]:
        """The tokens of each text, without special ones or a limit."""
        found = self._tokenizer.tokens(texts)
        ids = np.array([id for ids, _ in found for id in ids], np.int64)
        distinct, places = np.unique(ids, return_inverse=True)
        rows = unit_length(self._weights.rows(self._name, distinct))[places]
        ends = np.cumsum([len(ids) for ids, _ in found])[:-1]
        return [
            Words(spans, vectors)
            for (_, spans), vectors in zip(found, np.split(rows, ends), strict=True)
        ]
