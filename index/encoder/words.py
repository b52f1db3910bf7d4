"""The vectors that a transformer begins with: a row of its table for each token."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .modules import Vectors, unit_length
from .tokenizer import Tokenizer
from .weights import Weights

_TABLE = "embeddings.word_embeddings.weight"


class Words(NamedTuple):
    """The tokens of texts, each by the row of `vectors` [m, d], of unit length, that it has.

    `places` [n] are those of all texts, one after the other, of which each has so many as `sizes`
    says.
    """

    vectors: Vectors
    places: NDArray[np.int64]
    sizes: NDArray[np.int64]


class WordTable:
    """The table of a model that `is_bert`. Only the rows of a text's tokens are read."""

    def __init__(self, file: Path, tokenizer: Tokenizer) -> None:
        """Of the weights in a file."""
        self._weights = Weights(file)
        [self._name] = (name for name in self._weights.names() if name.endswith(_TABLE))
        self._tokenizer = tokenizer

    def of(self, texts: Sequence[str]) -> Words:
        """The tokens of each text, without special ones."""
        pieces = self._tokenizer.pieces(texts)
        distinct, places = np.unique(pieces.ids, return_inverse=True)
        return Words(unit_length(self._weights.rows(self._name, distinct)), places, pieces.sizes)
