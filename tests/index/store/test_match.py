"""Full text among allowed passages: exactly the ranking without a filter, less the others."""

from collections.abc import Iterator

import numpy as np
import pytest

from clsearch.index.analysis import asked
from clsearch.index.index import Index
from clsearch.index.store import snapshot as module
from clsearch.index.store.fulltext import match_any
from clsearch.index.store.snapshot import Snapshot

WORDS = "amber basalt copper dolomite".split()
QUERY = match_any(asked("amber dolomite"))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    from words_encoder import WordsEncoder

    path = tmp_path_factory.mktemp("match") / "index"
    generator = np.random.default_rng(4)
    with Index.open(path, encoder=WordsEncoder(8)) as index:
        index.add(
            {"id": str(n), "text": " ".join(generator.choice(WORDS, generator.integers(1, 4)))}
            for n in range(300)
        )
    with Snapshot.open(path) as opened:
        yield opened


@pytest.mark.parametrize("listed", [0, 10_000])
@pytest.mark.parametrize("size", [0, 1, 5, 150, 299, 300])
def test_match_among_allowed(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, size: int, listed: int
) -> None:
    """Listed in the statement or looked up: the same, ties by id, ids that are nowhere ignored."""
    monkeypatch.setattr(module, "LISTED", listed)
    whole = snapshot.match(QUERY, 1000)
    assert 150 < len(whole) < 300
    generator = np.random.default_rng(size)
    allowed = np.sort(generator.choice(np.arange(1, 301), size, replace=False))
    for given in (allowed, np.concatenate([allowed, [5000]])):
        inside = [found for found in whole if found[0] in set(allowed.tolist())]
        for k in (1, 10, 1000):
            assert snapshot.match(QUERY, k, given) == inside[:k]


def test_the_best_is_found_though_all_others_rank_before(snapshot: Snapshot) -> None:
    """The last of the whole ranking, allowed alone."""
    last = snapshot.match(QUERY, 1000)[-1]
    assert snapshot.match(QUERY, 1, np.array([last[0]])) == [last]
