"""The vectors that a transformer begins with: a row of its table for each token."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from .modules import Vectors, unit_length
from .tokenizer import Tokenizer
from .weights import Weights

_TABLE = "embeddings.word_embeddings.weight"


class WordTable:
    """The table of a model that `runs_in_numpy`. Only the rows of a text's tokens are read."""

    def __init__(self, file: Path, tokenizer: Tokenizer) -> None:
        """Of the weights in a file."""
        self._weights = Weights(file)
        [self._name] = (name for name in self._weights.names() if name.endswith(_TABLE))
        self._tokenizer = tokenizer

    def of(self, texts: Sequence[str]) -> list[Vectors]:
        """A vector of unit length for each token of each text, [n, d], without special tokens."""
        found = self._tokenizer.ids(texts)
        distinct, places = np.unique(np.array(list(chain(*found)), np.int64), return_inverse=True)
        rows = unit_length(self._weights.rows(self._name, distinct))[places]
        return np.split(rows, np.cumsum([len(ids) for ids in found])[:-1])
