"""What a score means: 0 to 1, with 1/2 where unrelated text ends."""

from collections.abc import Callable
from math import exp
from typing import Literal

from ..index.config import Calibration

Mode = Literal["hybrid", "dense", "lexical"]

# A hit below this is no nearer to the query than the best passage is to a text that means nothing.
WEAK = 0.5

# Three standard deviations above the mean of unrelated text, one in a thousand of which is nearer.
DEVIATIONS = 3.0


def scale(mode: Mode, calibration: Calibration) -> Callable[[float], float]:
    """The function from a mode's raw score to the score of a hit; greater stays greater.

    The raw score x is the cosine (dense), the coverage (lexical) or what `fuse` makes of them. With
    m and s the mean and the deviation of the best x of unrelated text, and t = m + 3 s,

        score(x) = 1 / (1 + e^-z), z = (x - t) / s below t, 4 (x - t) / (1 - t) above:

    1/2 at t, 0.05 at m, and 0.98 where x is 1, a passage that says the query itself. For the fused
    score m is half the mean cosine and half the square of the mean coverage, which is what `fuse`
    makes of the two.
    """
    if mode == "dense":
        mean, deviation = calibration.cosine, calibration.cosine_deviation
    elif mode == "lexical":
        mean, deviation = calibration.coverage, calibration.coverage_deviation
    else:
        mean = 0.5 * calibration.cosine + 0.5 * calibration.coverage**2
        deviation = 0.5 * calibration.cosine_deviation
    deviation = max(deviation, 1e-3)
    middle = min(mean + DEVIATIONS * deviation, 0.9)

    def score(x: float) -> float:
        z = (x - middle) / deviation if x < middle else 4 * (x - middle) / (1 - middle)
        return 1 / (1 + exp(-max(z, -500.0)))

    return score
