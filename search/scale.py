"""What a score means: 0 to 1, with 1/2 where unrelated text ends."""

from collections.abc import Callable
from math import hypot
from typing import Literal

from ..index.config import Calibration

Mode = Literal["hybrid", "dense", "lexical"]

# A hit below this is about as near as the best passage is to a text that means nothing.
WEAK = 0.5

# So many standard deviations above the mean, hardly any unrelated text comes.
DEVIATIONS = 3.0


def scale(mode: Mode, calibration: Calibration) -> Callable[[float], float]:
    """The function from a mode's raw score to the score of a hit; greater is never less.

    The raw score x is the cosine (dense), the coverage (lexical) or what `fuse` makes of them. With
    m and s the mean and the standard deviation of the best x of unrelated text in this index, and
    n = max(0, (x - m) / s), how many deviations it lies above,

        score(x) = n^2 / (n^2 + 3^2)

    0 up to the mean, 1/2 at three deviations, 0.9 at nine. For the fused score, m is what `fuse`
    makes of the mean cosine c and the mean coverage v, (c + v^2) / 2, and s what becomes of their
    deviations, taken as independent: sqrt(s_c^2 + (2 v s_v)^2) / 2.
    """
    if mode == "dense":
        mean, deviation = calibration.cosine, calibration.cosine_deviation
    elif mode == "lexical":
        mean, deviation = calibration.coverage, calibration.coverage_deviation
    else:
        mean = (calibration.cosine + calibration.coverage**2) / 2
        of_words = 2 * calibration.coverage * calibration.coverage_deviation
        deviation = hypot(calibration.cosine_deviation, of_words) / 2
    deviation = max(deviation, 1e-3)  # of an index with next to nothing in it

    def score(x: float) -> float:
        above = max(0.0, (x - mean) / deviation) ** 2
        return above / (above + DEVIATIONS**2)

    return score
