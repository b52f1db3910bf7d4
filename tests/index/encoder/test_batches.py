"""Batches: every text once, within the limit of tokens, with little padding."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clsearch.index.encoder.batches import Tokens, batches

Lists = list[list[int]]


def made(lengths: list[int]) -> tuple[Lists, Lists]:
    """Ids and types of texts; the ids tell which text and which place: none is 0."""
    ids = [[1000 * row + place + 1 for place in range(n)] for row, n in enumerate(lengths)]
    return ids, [[row % 2] * length for row, length in enumerate(lengths)]


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.booleans())
def test_every_text_once_within_the_limit(lengths: list[int], limit: int, typed: bool) -> None:
    ids, types = made(lengths)
    tokens = Tokens.joined(
        [
            Tokens.of(ids[part], types[part] if typed else None)
            for part in (slice(7), slice(7, 20), slice(20, None))
        ]
    )
    assert len(tokens) == len(lengths)
    seen = []
    for batch in batches(tokens, pad=0, limit=limit):
        assert batch.ids.shape == batch.types.shape == batch.mask.shape
        assert batch.ids.size <= limit or len(batch.order) == 1
        for row, place in enumerate(batch.order):
            length = lengths[place]
            assert batch.ids[row, :length].tolist() == ids[place]
            assert batch.types[row, :length].tolist() == (types[place] if typed else [0] * length)
            assert not batch.ids[row, length:].any()
            assert batch.mask[row].tolist() == [True] * length + [False] * (
                len(batch.mask[row]) - length
            )
            seen.append(int(place))
    assert sorted(seen) == list(range(len(lengths)))


def test_little_is_padding() -> None:
    lengths = np.random.default_rng(1).integers(2, 257, 2000)
    places = sum(batch.ids.size for batch in batches(Tokens.of(*made(lengths.tolist())), 0, 2048))
    assert places < 1.03 * lengths.sum()


def test_halves_are_the_batch_again_and_no_wider_than_they_must_be() -> None:
    ids, types = made([9, 7, 4, 2, 1])
    (batch,) = batches(Tokens.of(ids, types), pad=0, limit=100, first=10)
    longer, shorter = batch.halves()
    assert longer.order.tolist() == [10, 11]
    assert shorter.order.tolist() == [12, 13, 14]
    assert longer.ids.shape == longer.types.shape == longer.mask.shape == (2, 9)
    assert shorter.ids.shape == shorter.types.shape == shorter.mask.shape == (3, 4)
    for half in (longer, shorter):
        for row, place in enumerate(half.order):
            assert half.ids[row][half.mask[row]].tolist() == ids[place - 10]
            assert half.types[row][half.mask[row]].tolist() == types[place - 10]
