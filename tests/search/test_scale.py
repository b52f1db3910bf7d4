"""What a score means, against its formula by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch.index.config import Calibration
from clsearch.search.scale import WEAK, Mode, scale

MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
EXACT = Calibration(
    cosine=0.25, cosine_deviation=0.09375, coverage=0.5, coverage_deviation=0.125, passages=9
)
# Mean and deviation of a raw score; fused, 1/4 = (1/4 + (1/2)^2) / 2, and
# (5/64)^2 = (3/64)^2 + (4/64)^2, of which 3/64 is half of 0.09375, and 4/64 half of 0.125.
BY_MODE = {"dense": (0.25, 0.09375), "lexical": (0.5, 0.125), "hybrid": (0.25, 0.078125)}

unit = st.floats(0, 1)
calibrations = st.builds(Calibration, unit, unit, unit, unit)
raw = st.floats(-2, 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deviations", [0, 1, 2, 3, 4, 6, 9])
def test_the_formula_by_hand(mode: Mode, deviations: int) -> None:
    """n^2 / (n^2 + 9) at n deviations above the mean."""
    mean, deviation = BY_MODE[mode]
    by_hand = Fraction(deviations**2, deviations**2 + 9)
    assert scale(mode, EXACT)(mean + deviations * deviation) == pytest.approx(float(by_hand))


@pytest.mark.parametrize("mode", MODES)
def test_a_half_is_where_unrelated_text_ends(mode: Mode) -> None:
    """Three deviations: there a hit ceases to be weak. Up to the mean, a score is 0."""
    mean, deviation = BY_MODE[mode]
    score = scale(mode, EXACT)
    assert score(mean + 3 * deviation) == pytest.approx(WEAK)
    assert WEAK == 0.5
    assert score(mean) == score(mean - 1) == score(0.0) == 0.0


@pytest.mark.parametrize("mode", MODES)
def test_an_index_with_one_passage(mode: Mode) -> None:
    """Everything has one score there: a deviation of 0 parts by a thousandth, and fails nothing."""
    score = scale(mode, Calibration(0.5, 0.0, 0.5, 0.0, 1))
    mean = 0.375 if mode == "hybrid" else 0.5
    assert score(mean) == 0.0
    assert score(mean + 3e-3) == pytest.approx(0.5)
    assert score(1.0) > 0.99


@given(st.sampled_from(MODES), calibrations, raw, raw)
def test_greater_is_never_less(
    mode: Mode, calibration: Calibration, first: float, second: float
) -> None:
    """And all lie between 0 and 1, whatever was measured."""
    score = scale(mode, calibration)
    low, high = score(min(first, second)), score(max(first, second))
    assert 0.0 <= low <= high <= 1.0
