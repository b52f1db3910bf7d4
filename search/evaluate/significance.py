"""Is a difference between two ways to search more than chance? Paired tests, corrected for many."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Up to so many queries that differ, all 2^n flips are counted: no more than the permutations below.
EXACT = 16
PERMUTATIONS = 100_000
SEED = 0
LEVEL = 0.05
_CHUNK = 4_000_000  # bits that are flipped at once


def randomisation(differences: Sequence[float]) -> float:
    """p of the differences of paired values, one a query: two-sided, between 0 and 1.

    Fisher's randomisation test on the mean: were the two ways to search alike, each difference
    could as well have had the other sign, so p is the share of the 2^n flips of signs whose mean is
    at least as far from 0. Queries that do not differ change nothing. Where more than 16 differ, p
    is estimated from 100,000 flips of a fixed seed, as (count + 1) / (100,000 + 1), which is never
    0.

    Smucker, Allan, Carterette: A Comparison of Statistical Significance Tests for Information
    Retrieval Evaluation, CIKM 2007. Phipson, Smyth: Permutation P-values Should Never Be Zero,
    Statistical Applications in Genetics and Molecular Biology 9, 2010.
    """
    values = np.asarray(differences, np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    # Sums of the same numbers in another order differ by rounding: those are equal, too.
    least = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) <= EXACT:
        codes = np.arange(2 ** len(values))
        flips = codes[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(_sums(flips, values) >= least))
    generator = np.random.default_rng(SEED)
    rows = max(1, _CHUNK // len(values))
    count = 0
    for start in range(0, PERMUTATIONS, rows):
        shape = (min(rows, PERMUTATIONS - start), -(-len(values) // 8))
        bits = np.unpackbits(generator.integers(0, 256, shape, np.uint8), axis=1)
        count += int(np.sum(_sums(bits[:, : len(values)], values) >= least))
    return (count + 1) / (PERMUTATIONS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """p values, adjusted so that one false alarm among all of them is as rare as for one alone.

    In ascending order the i-th of m, counted from 0, times m - i; never below the one before, nor
    above 1. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of
    Statistics 6, 1979.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    adjusted = [1.0] * len(p)
    highest = 0.0
    for place, number in enumerate(sorted(range(len(p)), key=lambda number: p[number])):
        highest = max(highest, min(1.0, p[number] * (len(p) - place)))
        adjusted[number] = highest
    return adjusted


def _sums(flips: NDArray[np.integer], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """|sum| of `values` `[n]`, their signs flipped where a bit of `flips` `[rows, n]` is 1."""
    sums: NDArray[np.float64] = np.abs(values.sum() - 2 * (flips.astype(np.float64) @ values))
    return sums
