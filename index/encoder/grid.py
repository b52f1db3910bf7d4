"""Where the tokens of a batch stand among its padding."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .modules import Vectors


class Grid(NamedTuple):
    """Where tokens stand in `rows` texts of `columns` places; `at` None is: everywhere.

    All but the attention of tokens to each other is done for those alone that are no padding, in
    one matrix: NumPy multiplies a stack of small ones one after the other.
    """

    rows: int
    columns: int
    at: NDArray[np.int64] | None

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "Grid":
        """Of the tokens of a mask [b, t]."""
        rows, columns = mask.shape
        return cls(rows, columns, None if mask.all() else np.flatnonzero(mask))

    def spread(self, tokens: Vectors) -> Vectors:
        """[n, d] -> [b, t, d], zeros where padding stands."""
        size = tokens.shape[1]
        if self.at is not None:
            spread = np.zeros((self.rows * self.columns, size), np.float32)
            spread[self.at] = tokens
            tokens = spread
        return tokens.reshape(self.rows, self.columns, size)

    def gathered(self, places: Vectors) -> Vectors:
        """[b * t, d] -> [n, d]."""
        return places if self.at is None else places[self.at]
