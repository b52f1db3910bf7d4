"""Paired tests against exact enumeration and distributions that are known."""

import itertools
from math import comb

import numpy as np
import pytest

from clsearch.search.evaluate import significance
from clsearch.search.evaluate.significance import EXACT, PERMUTATIONS, holm, randomisation


def enumerated(differences: list[float]) -> float:
    """p by its definition: every sign of every difference."""
    observed = abs(sum(differences))
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(one >= observed - 1e-12 for one in sums) / len(flips)


@pytest.mark.parametrize("seed", range(5))
def test_few_queries_are_enumerated(seed: int) -> None:
    """To the last digit; queries that do not differ change nothing."""
    generator = np.random.default_rng(seed)
    differences = [float(value) for value in generator.normal(0.1, 0.2, 10)]
    p = enumerated(differences)
    assert randomisation(differences) == pytest.approx(p, abs=1e-15)
    assert randomisation([*differences, *[0.0] * 500]) == pytest.approx(p, abs=1e-15)
    assert randomisation([-value for value in differences]) == pytest.approx(p, abs=1e-15)


def test_by_hand() -> None:
    """Five wins of the same size: only all signs alike are as far from 0, 2 of 32."""
    assert randomisation([0.1] * 5) == 2 / 32
    assert randomisation([0.1, 0.1, 0.1, -0.1]) == 10 / 16
    assert randomisation([0.3]) == 1
    assert randomisation([0.0, 0.0]) == 1
    assert randomisation([]) == 1


def test_equal_sums_in_another_order_are_equal() -> None:
    """0.1 + 0.2 is not 0.3 by rounding, and must count as it."""
    assert randomisation([0.1, 0.2, -0.3]) == 1
    assert randomisation([0.1, 0.2, 0.3]) == 2 / 8


@pytest.mark.parametrize("wins", [20, 28, 33, 40])
def test_many_queries_of_equal_differences_are_a_sign_test(wins: int) -> None:
    """Whose p is known: the two tails of a binomial distribution."""
    n = 40
    tail = sum(comb(n, k) for k in range(wins, n + 1)) / 2**n
    p = min(1.0, 2 * tail) if wins > n / 2 else 1.0
    estimated = randomisation([0.25] * wins + [-0.25] * (n - wins))
    error = 4 * (p * (1 - p) / PERMUTATIONS) ** 0.5 + 2 / PERMUTATIONS
    assert estimated == pytest.approx(p, abs=error)
    assert 0 < estimated <= 1


def test_the_estimate_agrees_with_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same differences; and is the same every time."""
    differences = [float(value) for value in np.random.default_rng(7).normal(0.1, 0.2, EXACT)]
    exact = randomisation(differences)
    monkeypatch.setattr(significance, "EXACT", 0)
    monkeypatch.setattr(significance, "_CHUNK", 1000)
    estimated = randomisation(differences)
    assert estimated == pytest.approx(exact, abs=4 * (exact * (1 - exact) / PERMUTATIONS) ** 0.5)
    assert estimated == randomisation(differences) != exact


def test_p_is_uniform_where_nothing_differs() -> None:
    """One in twenty pairs of equal ways to search is called different at 0.05, no more."""
    generator = np.random.default_rng(3)
    p = [randomisation([float(d) for d in generator.normal(0, 1, 12)]) for _ in range(400)]
    assert np.mean([one < 0.05 for one in p]) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_holm_by_hand() -> None:
    """Ascending times 4, 3, 2, 1; none below the one before; none above 1; in the given order."""
    assert holm([0.03, 0.01, 0.04, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
