"""What an index measures of itself, against brute force over what it holds."""

from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest

from clsearch.index import Index, analysis, calibration, vectors
from clsearch.index.calibration import PROBES
from clsearch.index.check import check
from clsearch.index.config import Calibration
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search import Mode, Searcher
from words_encoder import WordsEncoder


def saved(path: Path) -> Calibration:
    """As a reader sees it."""
    with Snapshot.open(path) as snapshot:
        return snapshot.calibration


def documents(first: int, count: int, words: str = "") -> list[dict[str, str]]:
    """Documents of one passage, which share some words with some probes."""
    probed = " ".join(PROBES).split()
    return [
        {"id": f"{n}", "text": f"stone {' '.join(probed[n % 60 : n % 60 + n % 7])} {n} {words}"}
        for n in range(first, first + count)
    ]


@pytest.fixture
def path(tmp_path: Path, encoder: WordsEncoder) -> Path:
    """An index of 100 passages in two segments, and tombstones."""
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "gone", "text": f"{PROBES[0]} {PROBES[1]}"}])
        index.remove(["gone"])
        index.add(documents(0, 100))
    return tmp_path / "index"


def add(path: Path, encoder: WordsEncoder, given: Sequence[dict[str, str]]) -> Calibration:
    """What is saved once these are in."""
    with Index.open(path, encoder=encoder) as index:
        index.add(given)
    return saved(path)


def by_brute_force(path: Path, encoder: WordsEncoder) -> dict[str, float]:
    """Means and deviations of the best of all passages: every vector, and BM25 of every text.

    BM25 as FTS5 defines it (k1 1.2, b 0.75), for an index whose passages have text alone; that of
    `exact` has no terms here.
    """
    with Snapshot.open(path) as snapshot:
        ids = [id for name in snapshot.document_ids() for id in snapshot.passage_ids(name)]
        segments = [Segment.open(path, row) for row in snapshot.segments]
        texts = [stored.passage.text for stored in snapshot.passages(ids).values()]
    _, stored = vectors.vectors(segments, np.array(sorted(ids), np.int64))
    assert len(stored) == len(ids) == len(texts)
    cosines = (encoder.encode_queries(PROBES) @ stored.T).max(axis=1)
    terms = [[term.text for term in analysis.words(text)] for text in texts]
    mean = sum(map(len, terms)) / len(terms)
    coverages = []
    for probe in PROBES:
        expected = 0.0
        scores = np.zeros(len(terms))
        for asked in analysis.asked(probe):
            counts = np.array([of.count(asked) for of in terms])
            found = int((counts > 0).sum())
            idf = max(log((len(terms) - found + 0.5) / (found + 0.5)), 1e-6)
            lengths = np.array(list(map(len, terms)))
            scores += idf * counts * 2.2 / (counts + 1.2 * (0.25 + 0.75 * lengths / mean))
            expected += idf
        coverages.append(float(scores.max()) / expected)
    return {
        "cosine": float(cosines.mean()),
        "cosine_deviation": float(cosines.std()),
        "coverage": float(np.mean(coverages)),
        "coverage_deviation": float(np.std(coverages)),
    }


def test_what_is_measured_is_what_brute_force_finds(path: Path, encoder: WordsEncoder) -> None:
    """Over all that lives, and nothing that is deleted."""
    measured = saved(path)
    expected = by_brute_force(path, encoder)
    assert expected["coverage_deviation"] > 0.05 < expected["coverage"]
    for name, value in expected.items():
        assert getattr(measured, name) == pytest.approx(value, abs=1e-3 if "cos" in name else 1e-9)
    assert measured.passages == 100


def test_probes_are_many_and_all_different() -> None:
    """A mean and a deviation of 32 sentences, of everyday words."""
    assert len(PROBES) == len(set(PROBES)) == 32
    assert all(len(analysis.asked(probe)) >= 3 for probe in PROBES)


def test_measured_again_when_more_than_a_tenth_came(path: Path, encoder: WordsEncoder) -> None:
    """All of it, though what came is little."""
    before = saved(path)
    assert add(path, encoder, documents(100, 10)) == before
    after = add(path, encoder, documents(110, 1))
    assert (after.passages, after.last) == (111, before.last + 11)
    for name, value in by_brute_force(path, encoder).items():
        assert getattr(after, name) == pytest.approx(value, abs=1e-3)
    assert after.coverage != before.coverage


def test_measured_again_when_passages_were_replaced(path: Path, encoder: WordsEncoder) -> None:
    """As many as before, and others: 5 of 100 came and 5 went, then one more of each."""
    before = saved(path)
    assert add(path, encoder, documents(0, 5, "other")) == before
    after = add(path, encoder, documents(5, 1, "other"))
    assert after.passages == 100
    assert after.last == before.last + 6


def test_measured_again_when_more_than_a_tenth_went(path: Path, encoder: WordsEncoder) -> None:
    """At the next sync or addition."""
    before = saved(path)
    with Index.open(path, encoder=encoder) as index:
        index.remove([f"{n}" for n in range(10)])
        index.add([])
        assert saved(path) == before
        index.remove(["10"])
        index.add([])
    assert saved(path).passages == 89


def test_what_is_deleted_is_not_measured(path: Path, encoder: WordsEncoder) -> None:
    """Though a segment holds its vector yet."""
    said = [{"id": probe, "text": probe} for probe in PROBES]
    assert add(path, encoder, said).cosine == pytest.approx(1.0, abs=1e-3)
    with Index.open(path, encoder=encoder) as index:
        index.remove(PROBES)
        calibration.calibrate(index._store, encoder)
    with Snapshot.open(path) as snapshot:
        assert len(snapshot.tombstones()) == len(PROBES)
    for name, value in by_brute_force(path, encoder).items():
        assert getattr(saved(path), name) == pytest.approx(value, abs=1e-3)
    assert saved(path).cosine < 0.9


def test_an_unchanged_index_asks_the_encoder_nothing(path: Path, encoder: WordsEncoder) -> None:
    """And commits nothing."""
    database = (path / "index.db").read_bytes()
    encoder.encode_queries = None  # type: ignore[method-assign,assignment]
    add(path, encoder, [])
    assert (path / "index.db").read_bytes() == database


def test_an_empty_index_has_the_defaults(tmp_path: Path, encoder: WordsEncoder) -> None:
    """So has one that is not measured; one that was emptied keeps what it knew."""
    path = tmp_path / "index"
    assert add(path, encoder, []) == Calibration()
    measured = add(path, encoder, documents(0, 3))
    assert measured.passages == 3
    with Index.open(path, encoder=encoder) as index:
        index.remove(["0", "1", "2"])
        index.add([])
    assert saved(path) == measured
    assert add(path, encoder, documents(0, 3)).last == measured.last + 3


def test_an_index_that_was_never_measured(path: Path, encoder: WordsEncoder) -> None:
    """Made before there was a calibration: read with the defaults, measured by the next sync."""
    measured = saved(path)
    with Index.open(path, encoder=encoder) as index:
        index._store.database.execute("DELETE FROM settings WHERE key = 'calibration'")
        index._store.database.conn.commit()
        assert saved(path) == Calibration()
        index.sync([])
    assert saved(path) == measured


def test_sync_measures(tmp_path: Path, encoder: WordsEncoder) -> None:
    """As `add` does."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for given in documents(0, 20):
        (folder / f"{given['id']}.txt").write_text(given["text"])
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.sync([folder])
    assert saved(tmp_path / "index").passages == 20


def test_reencode_measures_with_the_new_encoder(
    path: Path, encoder: WordsEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the old one found means nothing with the new one: it goes with the commit of that."""
    other = type(encoder)(dimension=16)
    with Index.open(path) as index:
        monkeypatch.setattr("clsearch.index.index.calibrate", lambda store, encoder: None)
        index.reencode(encoder=other)
        assert saved(path) == Calibration()
        monkeypatch.undo()
        index.reencode(encoder=other)
    expected = by_brute_force(path, other)
    assert saved(path).cosine == pytest.approx(expected["cosine"], abs=1e-3)
    assert saved(path).passages == 100


def test_nothing_is_lost_where_measuring_fails(
    path: Path, encoder: WordsEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents are committed before; the next run measures what this one did not."""
    before = saved(path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "_measure", killed)
    with Index.open(path, encoder=encoder) as index, pytest.raises(KeyboardInterrupt):
        index.add(documents(100, 50))
    assert saved(path) == before
    with Snapshot.open(path) as snapshot:
        assert snapshot.passage_count() == 150
    monkeypatch.undo()
    assert add(path, encoder, []).passages == 150


def test_a_reencoded_index_goes_on_with_its_new_encoder_where_measuring_fails(
    path: Path, encoder: WordsEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch is committed before: what is added next must not get vectors of the old one."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "_measure", killed)
    other = type(encoder)(dimension=16)
    with Index.open(path, encoder=encoder) as index:
        with pytest.raises(KeyboardInterrupt):
            index.reencode(encoder=other)
        monkeypatch.undo()
        assert index.encoder is other
        index.add([{"id": "more", "text": "stone"}])
    assert check(path) == ()


def test_measuring_is_no_new_generation(path: Path, encoder: WordsEncoder) -> None:
    """What is found stays the same: readers need not look again."""
    with Snapshot.open(path) as snapshot:
        generation = snapshot.generation
    with Index.open(path, encoder=encoder) as index:
        store = index._store
        measured = store.settings.calibration
        with store.transaction(begins_generation=False):
            store.save(replace(store.settings, calibration=Calibration()))
        calibration.calibrate(store, encoder)
    assert saved(path) == measured
    with Snapshot.open(path) as snapshot:
        assert snapshot.generation == generation


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_score_is_made_of_what_was_measured(
    path: Path, encoder: WordsEncoder, mode: Mode
) -> None:
    """n^2 / (n^2 + 9), n the deviations above the mean: by hand, from what is saved."""
    of = saved(path)
    mean, deviation = {
        "dense": (of.cosine, of.cosine_deviation),
        "lexical": (of.coverage, of.coverage_deviation),
        "hybrid": (
            (of.cosine + of.coverage**2) / 2,
            ((of.cosine_deviation / 2) ** 2 + (of.coverage * of.coverage_deviation) ** 2) ** 0.5,
        ),
    }[mode]
    hits = Searcher.open(path, encoder).search("turquoise stone volcano", 20, mode)
    assert len({hit.score for hit in hits}) > 3
    for hit in hits:
        raw = {"hybrid": "fused", "lexical": "coverage"}.get(mode)
        x = hit.explanation[raw] if raw else hit.scores["dense"]
        n = max(0.0, (x - mean) / deviation)
        assert hit.score == pytest.approx(n**2 / (n**2 + 9), abs=1e-9)
        assert hit.weak == (hit.score < 0.5)


def test_what_nothing_answers_is_weak(path: Path, encoder: WordsEncoder) -> None:
    """The nearest of vectors to a text of which only one word is known, and that everywhere."""
    for mode in ("hybrid", "dense"):
        hits = Searcher.open(path, encoder).search("qwert stone zuiop asdf yxcv", 5, mode)
        assert len(hits) == 5
        assert all(hit.weak for hit in hits)
