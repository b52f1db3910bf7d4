"""Fusion against arithmetic done by hand, and what it promises for odd queries."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from clsearch.search.fusion import fuse

ids = st.integers(0, 9)
shares = st.dictionaries(ids, st.floats(0, 1.5))
cosines = st.dictionaries(ids, st.floats(-1, 1))


def order(scores: dict[int, float]) -> list[int]:
    """The ids, best first; those of one score as they come."""
    return sorted(scores, key=lambda id: -scores[id])


def test_scores_by_hand() -> None:
    """Half the cosine, half the coverage times the best coverage; what is missing counts 0."""
    fused = fuse({1: 0.75, 2: 0.5, 3: -0.25}, {2: 0.5, 4: 0.25})
    by_hand = {
        1: Fraction(1, 2) * Fraction(3, 4),
        2: Fraction(1, 2) * Fraction(1, 2) + Fraction(1, 2) * Fraction(1, 2) * Fraction(1, 2),
        3: Fraction(1, 2) * Fraction(-1, 4),
        4: Fraction(1, 2) * Fraction(1, 2) * Fraction(1, 4),
    }
    assert by_hand[2] == Fraction(3, 8)
    assert {id: Fraction(score) for id, score in fused.items()} == by_hand


def test_words_are_trusted_wholly_at_most() -> None:
    """A coverage above 1 raises its passage's score, and no other passage's."""
    assert fuse({}, {1: 1.5, 2: 0.5}) == {1: 0.75, 2: 0.25}
    assert fuse({}, {1: 1.0, 2: 0.5}) == {1: 0.5, 2: 0.25}


def test_nothing_to_fuse() -> None:
    """In neither, in one of them."""
    assert fuse({}, {}) == {}
    assert fuse({5: 0.5}, {}) == {5: 0.25}
    assert fuse({}, {5: 0.5}) == {5: 0.125}


@given(cosines)
def test_where_no_word_is_known_vectors_decide(cosines: dict[int, float]) -> None:
    """Exactly their order, and half their cosines: a query in another language, unknown names."""
    for nothing in ({}, dict.fromkeys(cosines, 0.0)):
        assert fuse(cosines, nothing) == {id: cosine / 2 for id, cosine in cosines.items()}


def test_words_that_cover_little_hardly_move_vectors() -> None:
    """Two of twenty foreign words happen to be known: a hundredth is all that they can add."""
    cosines = {1: 0.6, 2: 0.57, 3: 0.3}
    assert order(fuse(cosines, {3: 0.1, 2: 0.1})) == [1, 2, 3]
    added = fuse(cosines, {3: 0.1})[3] - fuse(cosines, {})[3]
    assert abs(added - 0.005) < 1e-12


@given(st.dictionaries(ids, st.floats(0.1, 0.6), min_size=1), st.floats(0.8, 1.2))
def test_an_identifier_wins_over_noise(noise: dict[int, float], covered: float) -> None:
    """Vectors know nothing of it and find all passages alike; one passage has it."""
    assert order(fuse({**noise, 99: 0.1}, {99: covered}))[0] == 99
    assert order(fuse(noise, {99: covered}))[0] == 99


def test_both_together_beat_either() -> None:
    """A passage that means it and says it stands above those that do only one."""
    assert order(fuse({1: 0.7, 2: 0.7, 3: 0.2}, {1: 0.8, 3: 0.8}))[0] == 1


@given(cosines, shares)
def test_every_passage_once_those_of_vectors_first(
    cosines: dict[int, float], shares: dict[int, float]
) -> None:
    """So that equal scores stand in the order that they came in."""
    fused = fuse(cosines, shares)
    assert list(fused) == list(cosines) + [id for id in shares if id not in cosines]


@given(cosines, shares, ids, ids)
def test_nearer_in_both_is_never_less(
    cosines: dict[int, float], shares: dict[int, float], one: int, other: int
) -> None:
    """Whatever stands beside them."""
    fused = fuse(dict.fromkeys(range(10), 0.0) | cosines, shares)
    nearer = cosines.get(one, 0.0) >= cosines.get(other, 0.0)
    if nearer and shares.get(one, 0.0) >= shares.get(other, 0.0):
        assert fused[one] >= fused[other]
