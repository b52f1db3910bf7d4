"""Ranking by words: BM25 as FTS5 has it, in any script."""

import shutil
import sqlite3
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import closing
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index import analysis, batch
from clsearch.index.index import Index
from clsearch.index.store import fulltext, postings
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import Searcher
from clsearch.search.lexical import Lexical
from clsearch.search.query import Query, parse, plain

ENCODINGS = Path(__file__).parent.parent / "index" / "readers" / "encodings"
Make = Callable[[Mapping[str, str]], Path]


def reference(index: Path, query: Query) -> list[tuple[int, float]]:
    """All passages with any term, by FTS5's own function."""
    whole = [term for term in query.whole if term not in query.terms]
    expression = fulltext.match_any(query.terms, whole)
    rank = "bm25(passages_fts)"
    sql = (
        f"SELECT rowid, -{rank} FROM passages_fts WHERE passages_fts MATCH ? ORDER BY {rank}, rowid"
    )
    with closing(sqlite3.connect(index / "index.db")) as connection:
        return connection.execute(sql, (expression,)).fetchall()


@pytest.mark.parametrize("text", ["amber", "amber basalt jade flint", "garnets or no-iron", "gold"])
def test_ranking_is_that_of_fts5(make_index: Make, stones: Any, text: str) -> None:
    """Numbers and order, ties by id."""
    index = make_index(stones(30))
    with Snapshot.open(index) as snapshot:
        found = Lexical(snapshot, plain(text))
        expected = reference(index, plain(text))
        assert bool(expected) == (text != "gold")
        for k in (1, 7, 1000):
            assert found.search(k) == expected[:k]
        assert found.scores([id for id, _ in expected[::3]]) == dict(expected[::3])
        assert found.scores([]) == {}


def test_scores_are_bm25_by_hand(make_index: Make) -> None:
    """The formula of FTS5: k1 = 1.2, b = 0.75; a whole word counts where it is written in one."""
    index = make_index({"1": "amber amber jade", "2": "wi-fi", "3": "basalt", "4": "copper flint"})
    lengths = {1: 3, 2: 3, 3: 1, 4: 2}  # `wi-fi` is wi, fi and wifi

    def bm25(often: float, length: int, passages: int) -> float:
        idf = log((4 - passages + 0.5) / (passages + 0.5))
        average = sum(lengths.values()) / 4
        return idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length / average))

    with Snapshot.open(index) as snapshot:
        amber = Lexical(snapshot, plain("amber")).search(9)
        assert amber == [(1, pytest.approx(bm25(2, 3, 1)))]
        parts = Lexical(snapshot, plain("wi-fi")).search(9)
        assert parts == [(2, pytest.approx(2 * bm25(1, 3, 1)))]
        word = Lexical(snapshot, plain("wifi")).search(9)
        assert word == [(2, pytest.approx(bm25(1, 3, 1)))]


def test_coverage_by_hand(make_index: Make) -> None:
    """A share of what all terms give, those that are nowhere included."""
    index = make_index({"1": "amber jade", "2": "amber flint", "3": "copper", "4": "iron basalt"})
    with Snapshot.open(index) as snapshot:
        asked = Lexical(snapshot, plain("amber copper gold"))
        assert asked.frequencies == {"amber": 2, "copper": 1, "gold": 0}
        idf = {"amber": 1e-6, "copper": log(3.5 / 1.5), "gold": log(4.5 / 0.5)}
        assert asked.weights == pytest.approx(idf)
        assert asked.coverage(1.5) == pytest.approx(1.5 / sum(idf.values()))
        # Of average length, a passage that has all the terms once is covered by 1.
        whole = Lexical(snapshot, plain("iron basalt"))
        (best,) = whole.search(1)
        average = 7 / 4
        tf = 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / average))
        assert whole.coverage(best[1]) == pytest.approx(tf)
        assert Lexical(snapshot, plain("?!")).coverage(1.0) == 0.0


def test_terms_in_no_document(make_index: Make) -> None:
    """They find nothing and keep nothing from being found."""
    index = make_index({"1": "amber jade", "2": "flint"})
    with Snapshot.open(index) as snapshot:
        assert Lexical(snapshot, plain("gold silver")).search(5) == []
        assert Lexical(snapshot, plain("gold silver")).scores([1, 2]) == {}
        assert Lexical(snapshot, plain("")).search(5) == []
        assert [id for id, _ in Lexical(snapshot, plain("gold jade")).search(5)] == [1]


def test_a_prefix_may_be_counted_more_often_than_there_are_passages(make_index: Make) -> None:
    """Each of its terms counts, and a weight is a number nevertheless."""
    index = make_index({"1": "京都と京王と京急と京", "2": "amber"})
    with Snapshot.open(index) as snapshot:
        asked = Lexical(snapshot, plain("京"))
        assert asked.frequencies["京*"] == 4
        assert asked.weights == {"京*": pytest.approx(1e-6)}
        assert [id for id, _ in asked.search(5)] == [1]


def test_excluded_passages_are_never_found(make_index: Make, stones: Any) -> None:
    """Nor scored; the others have the scores that they had."""
    documents = stones(30)
    index = make_index(documents)
    with Snapshot.open(index) as snapshot:
        whole = Lexical(snapshot, parse("amber jade")).search(1000)
        for marked, word in (("-basalt", '"basalt"'), ('-"flint iron"', '"flint iron"')):
            without = set(snapshot.matched(word).tolist())
            kept = [one for one in whole if one[0] not in without]
            assert 0 < len(kept) < len(whole)
            asked = Lexical(snapshot, parse(f"amber {marked} jade"))
            assert asked.search(1000) == kept
            assert asked.search(3) == kept[:3]
            assert asked.scores([id for id, _ in whole]) == dict(kept)


def test_allowed(make_index: Make, stones: Any) -> None:
    """The ranking of all, less what is not allowed."""
    index = make_index(stones(30))
    with Snapshot.open(index) as snapshot:
        query = plain("amber")
        whole = Lexical(snapshot, query).search(1000)
        allowed = np.array(sorted(id for id, _ in whole[1::2]), np.int64)
        beside = np.append(allowed, 5000)
        for only in (allowed, beside):
            assert Lexical(snapshot, query).search(1000, only) == whole[1::2]
            assert Lexical(snapshot, query).search(2, only) == whole[1::2][:2]
        assert Lexical(snapshot, query).search(2, np.array([], np.int64)) == []


def test_a_word_in_every_second_passage_tells_nothing(make_index: Make) -> None:
    """It finds passages only where no other word does, and adds nothing where one does."""
    texts = ["rock amber", "rock jade", "rock rock", "rock amber amber", "flint", "iron", "gold"]
    index = make_index({str(number): text for number, text in enumerate(texts, start=1)})
    with Snapshot.open(index) as snapshot:
        assert Lexical(snapshot, plain("rock amber")).search(9) == Lexical(
            snapshot, plain("amber")
        ).search(9)
        assert [id for id, _ in Lexical(snapshot, plain("rock")).search(9)] == [3, 1, 2, 4]


@pytest.mark.parametrize("sizes", [(8, 64, 512), (2, 4, 8)])
def test_ranking_of_many_commits_is_that_of_fts5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Any, sizes: tuple[int, ...]
) -> None:
    """Blocks that came, went and were merged; each word, two and more of them, compounds, prefixes.

    300 passages of words as frequent as in running text (Zipf's law), a tenth of them replaced.
    """
    monkeypatch.setattr(postings, "BOUNDS", sizes)
    monkeypatch.setattr(batch, "PASSAGES", 9)
    generator = np.random.default_rng(8)
    words = np.array([f"w{n}" for n in range(60)] + ["wi-fi", "wifi", "getUserName", "東京都"])
    odds = 1 / np.arange(2, len(words) + 2)
    odds /= odds.sum()

    def documents(ids: Any) -> list[dict[str, str]]:
        return [
            {"id": str(id), "text": " ".join(generator.choice(words, 12, p=odds))} for id in ids
        ]

    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add(documents(range(300)))
        index.add(documents(range(0, 300, 10)))
        index.remove([str(id) for id in range(5, 300, 10)])
        for number in range(20):
            index.add(documents([300 + number]))
    with Snapshot.open(tmp_path / "index") as snapshot:
        count = snapshot.passage_count()
        assert count == 290
        for size in (1, 2, 3, 6) * 15:
            query = plain(" ".join(generator.choice(words[9:], size)))
            terms = [*query.terms, *query.whole]
            expected = reference(tmp_path / "index", query)
            assert max(snapshot.frequencies(terms).values()) < count / 2
            for k in (1, 10, 1000):
                found = Lexical(snapshot, query).search(k)
                assert [bm25 for _, bm25 in found] == pytest.approx(
                    [bm25 for _, bm25 in expected[:k]], rel=1e-12
                )
                assert dict(found).keys() <= dict(expected).keys()
                assert found == sorted(found, key=lambda one: (-one[1], one[0]))
            assert dict(found) == pytest.approx(dict(expected), rel=1e-12)


def test_frequencies(make_index: Make) -> None:
    """Passages that have a term; for a prefix, of all terms that begin with it."""
    index = make_index({"1": "東京都 東北", "2": "東京", "3": "kyoto wi-fi"})
    with Snapshot.open(index) as snapshot:
        terms = ["東京", "東*", "kyoto", "wifi", "wi", "nowhere", "no*"]
        assert snapshot.frequencies(terms) == {
            "東京": 2,
            "東*": 3,
            "kyoto": 1,
            "wifi": 1,
            "wi": 1,
            "nowhere": 0,
            "no*": 0,
        }
        assert snapshot.passage_count() == 3


GERMAN = "Die Straße nach Zürich ist wegen Bauarbeiten gesperrt; Größe und Übermaß."
OWN = {
    "de.txt": GERMAN,
    "code.py.txt": "def load():\n    return getUserName(wifi=True)  # since v1.2.3",
    "words.txt": "The user name of an account, version 1.2.4",
    "errors.txt": "The browser says ERR_CONN_RESET and the wi-fi is gone.",
    "cve1.txt": "CVE-2021-44228 is a flaw of a logging library.",
    "cve2.txt": "CVE-2021-44229 is a flaw of a logging library, too.",
    "phones.txt": "An iphone rings.",
    "numbers.txt": "chapter 1.11 of the book",
    "numbers2.txt": "chapter 11.1 of the book",
    "ar-own.txt": "كِتَابٌ جَدِيدٌ",
}
FILES = (
    "ar.cp1256.txt",
    "el.cp1253.txt",
    "fr.mac_roman.txt",
    "he.cp1255.txt",
    "ja.shift_jis.txt",
    "ko.cp949.txt",
    "pl.cp1250.txt",
    "ru.koi8_r.txt",
    "th.tis_620.txt",
    "tr.iso8859_9.txt",
    "tw.big5.txt",
    "zh.gb18030.txt",
)


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """Over files of many encodings, and some of our own."""
    from words_encoder import WordsEncoder

    folder = tmp_path_factory.mktemp("texts")
    (folder / "files").mkdir()
    for name in FILES:
        shutil.copy(ENCODINGS / name, folder / "files" / name)
    for name, text in OWN.items():
        (folder / "files" / name).write_text(text, encoding="utf-8")
    encoder = WordsEncoder(8)
    with Index.open(folder / "index", encoder=encoder) as index:
        report = index.sync([folder / "files"])
        assert not report.skipped
    return Searcher.open(folder / "index", encoder)


KOREAN = {"ko.cp949.txt"}
FOUND: list[tuple[str, set[str]]] = [
    # A word inside a longer one, a part of one, and one decomposed.
    ("인간", KOREAN),
    ("형제애", KOREAN),
    ("\u110b\u1175\u11ab\u1100\u1161\u11ab", KOREAN),
    ('"인간은 천부적으로"', KOREAN),
    ("컴퓨터", set()),
    # Words amid a sentence, and a single character.
    ("理性", {"ja.shift_jis.txt", "tw.big5.txt", "zh.gb18030.txt"}),
    ('"自由であり"', {"ja.shift_jis.txt"}),
    ("生まれながら", {"ja.shift_jis.txt"}),
    ('"一律平等"', {"tw.big5.txt", "zh.gb18030.txt"}),
    ("尊严", {"zh.gb18030.txt"}),
    ("尊嚴", {"tw.big5.txt"}),
    ("厳", {"ja.shift_jis.txt"}),
    ("他", {"tw.big5.txt", "zh.gb18030.txt"}),
    # Without spaces, and with marks above and below.
    ("อิสระ", {"th.tis_620.txt"}),
    ('"ศักดิ์ศรี"', {"th.tis_620.txt"}),
    ("ภราดรภาพ", {"th.tis_620.txt"}),
    # Arabic and Hebrew, with vowel signs or without.
    ("الكرامة", {"ar.cp1256.txt"}),
    ("الْكَرَامَةِ", {"ar.cp1256.txt"}),
    ("الناس", {"ar.cp1256.txt"}),
    ("النـــاس", {"ar.cp1256.txt"}),
    ("احرارا", {"ar.cp1256.txt"}),
    ("كتاب جديد", {"ar-own.txt"}),
    ("בְּנֵי", {"he.cp1255.txt"}),
    # Accents left away, or put on.
    ("ανθρωποι", {"el.cp1253.txt"}),
    ("ΆΝΘΡΩΠΟΙ", {"el.cp1253.txt"}),
    ("etres", {"fr.mac_roman.txt"}),
    ("ETRES", {"fr.mac_roman.txt"}),
    ("postepowac", {"pl.cp1250.txt"}),
    ("ДОСТОИНСТВЕ", {"ru.koi8_r.txt"}),
    ("bakimindan", {"tr.iso8859_9.txt"}),
    ("strasse", {"de.txt"}),
    ("STRAẞE", {"de.txt"}),
    ("zurich", {"de.txt"}),
    ("Zu\u0308rich", {"de.txt"}),
    ("Grosse", {"de.txt"}),
    ("Übermass", {"de.txt"}),
    # Identifiers and numbers.
    ("getUserName", {"code.py.txt", "words.txt"}),
    ("getusername", {"code.py.txt"}),
    ("GET_USER_NAME", {"code.py.txt", "words.txt"}),
    ('"getUserName"', {"code.py.txt"}),
    ("user name", {"code.py.txt", "words.txt"}),
    ("ERR_CONN_RESET", {"errors.txt"}),
    ("err_conn_reset", {"errors.txt"}),
    ("wifi", {"errors.txt", "code.py.txt"}),
    ("wi-fi", {"errors.txt", "code.py.txt"}),
    ("iPhone", {"phones.txt"}),
    ('"v1.2.3"', {"code.py.txt"}),
    ('"CVE-2021-44228"', {"cve1.txt"}),
    ("flaw -CVE-2021-44228", {"cve2.txt"}),
    ('"1.11"', {"numbers.txt"}),
    ('"11.1"', {"numbers2.txt"}),
]


@pytest.mark.parametrize(("query", "expected"), FOUND, ids=range(len(FOUND)))
def test_found_in_real_text(searcher: Searcher, query: str, expected: set[str]) -> None:
    """Those and no others."""
    hits = searcher.search(query, k=100, mode="lexical")
    assert {Path(hit.document).name for hit in hits} == expected


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("CVE-2021-44228", "cve1.txt"),
        ("cve-2021-44229", "cve2.txt"),
        ("getUserName", "code.py.txt"),
        ("v1.2.3", "code.py.txt"),
        ("chapter 1.11", "numbers.txt"),
        ("chapter 11.1", "numbers2.txt"),
    ],
)
def test_the_very_identifier_comes_first(searcher: Searcher, query: str, first: str) -> None:
    """Before its neighbours."""
    hits = searcher.search(query, mode="lexical")
    assert Path(hits[0].document).name == first
    assert len(hits) == 1 or hits[1].score < hits[0].score


@pytest.mark.parametrize("query", ["인간", "형제애", '"인간은 천부적으로"', "존엄"])
def test_korean_as_macos_writes_it(tmp_path: Path, encoder: Any, query: str) -> None:
    """Decomposed in the file, composed in the query; and the marks are where the word is."""
    (tmp_path / "files").mkdir()
    shutil.copy(ENCODINGS / "ko.nfd.txt", tmp_path / "files")
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.sync([tmp_path / "files"])
    (hit,) = Searcher.open(tmp_path / "index", encoder).search(query, mode="lexical")
    assert hit.document == "files/ko.nfd.txt"
    marked = [hit.passage.text[start:end] for start, end in hit.marks]
    first = query.strip('"').split()[0]
    assert any(first in unicodedata.normalize("NFC", mark) for mark in marked)


def test_every_file_finds_itself(searcher: Searcher) -> None:
    """By each of its first ten words, whatever the script."""
    with Snapshot.open(searcher.path) as snapshot:
        for id in snapshot.document_ids():
            document = snapshot.document(id)
            assert document
            for term in list(analysis.words(document.text, trailing=False))[:10]:
                word = document.text[term.start : term.end]
                found = Lexical(snapshot, plain(word)).search(100)
                assert {passage for passage, _ in found} & set(snapshot.passage_ids(id)), (id, word)
