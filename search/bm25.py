"""BM25 as FTS5 has it, term for term, of passages whose terms are at hand.

FTS5 walks over all postings of a query's terms before it scores the first passage. Where candidates
are known, their own terms say the same.

score = sum over terms of idf * f (k1 + 1) / (f + k1 (1 - b + b l / L)), with f how often the
passage has the term, l how many terms it has, L the mean of l over all passages (Robertson and
Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond, 2009, 3.5).
"""

from collections.abc import Sequence
from typing import NamedTuple

K1, B = 1.2, 0.75  # those of FTS5


class Asked(NamedTuple):
    """A term of a query; one that ends in `*` counts whatever begins with it.

    `written` where it counts in title, heading and text alone, and not in `whole`.
    """

    term: str
    idf: float
    written: bool = False


def score(asked: Sequence[Asked], average: float, written: str, whole: str) -> float:
    """BM25 of a passage with these terms, parted by spaces; 0.0 where it has none asked for.

    The sum is in the order of `asked`: that of FTS5's expression gives its score to the last bit.
    `average` is the mean number of a passage's terms.

    >>> score([Asked("cat", 2.0), Asked("d*", 1.0)], 3.0, "cat dog dot", "")
    3.375
    """
    terms = f"{written} {whole}"
    length = K1 * (1 - B + B * len(terms.split()) / average)
    # Searching a string is faster than comparing its parts; with two spaces between terms, each has
    # one of its own on either side.
    terms = f" {terms.replace(' ', '  ')} "
    written = f" {written.replace(' ', '  ')} "
    total = 0.0
    for term, idf, only_written in asked:
        sought = f" {term[:-1]}" if term.endswith("*") else f" {term} "
        if often := (written if only_written else terms).count(sought):
            total += idf * ((often * (K1 + 1.0)) / (often + length))
    return total
