"""float16 as text: the shortest that says it exactly."""

from functools import cache

import numpy as np
from numpy.typing import NDArray


def array_text(vector: NDArray[np.float32]) -> str:
    """A JSON array of numbers that are exactly float16.

    >>> array_text(np.array([0.5, -0.01], np.float16).astype(np.float32))
    '[0.5,-0.01]'
    """
    codes = vector.astype(np.float16).view(np.uint16)
    return "[" + ",".join(map(_texts().__getitem__, codes.tolist())) + "]"


@cache
def _texts() -> list[str]:
    """The text of each of the 65,536: a number takes 30 ns to look up, and 2 µs to write."""
    return [str(half) for half in np.arange(1 << 16, dtype=np.uint16).view(np.float16)]
