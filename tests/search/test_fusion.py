"""Reciprocal rank fusion against arithmetic done by hand."""

from fractions import Fraction

import pytest

from clsearch.search.fusion import reciprocal_rank


def test_scores_by_hand() -> None:
    """1/(60+rank), summed, times 61/2."""
    fused = reciprocal_rank([[10, 20, 30], [30, 40]])
    by_hand = {
        30: Fraction(61, 2) * (Fraction(1, 63) + Fraction(1, 61)),
        10: Fraction(61, 2) * Fraction(1, 61),
        20: Fraction(61, 2) * Fraction(1, 62),
        40: Fraction(61, 2) * Fraction(1, 62),
    }
    assert by_hand[30] == Fraction(62, 63)
    assert [passage for passage, _ in fused] == [30, 10, 20, 40]
    assert dict(fused) == pytest.approx({p: float(score) for p, score in by_hand.items()})


def test_first_everywhere_scores_one() -> None:
    """Whatever the number of rankings."""
    for n in (1, 2, 3):
        assert reciprocal_rank([[5]] * n) == [(5, pytest.approx(1.0))]


def test_ties_go_to_the_smaller_id() -> None:
    """Two passages, each first in one ranking and second in the other."""
    assert [passage for passage, _ in reciprocal_rank([[9, 2], [2, 9]])] == [2, 9]


def test_nothing_to_fuse() -> None:
    """No ranking, or none with a passage."""
    assert reciprocal_rank([]) == []
    assert reciprocal_rank([[], []]) == []
    assert [passage for passage, _ in reciprocal_rank([[], [3, 1]])] == [3, 1]
