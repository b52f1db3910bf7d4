"""Any string is a legal query, and finds what FTS5 would find."""

import sqlite3
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch.search.lexical import MAX_TERMS, expression, telling, terms

NASTY = [
    "",
    " \t\n",
    '"',
    '""""',
    '"unbalanced',
    "a AND",
    "NOT",
    "NEAR(a b, 2)",
    "title: x",
    "-x +y ^z",
    "a*",
    "(((",
    "'; DROP TABLE passages_fts; --",
    "\0",
    "a\0b",
    "\ud800",
    "caf\udce9",
    "\U0001f600",
    "日本語テスト",
    "한국어",
    "\u0301",
    "क्षि",
    "½ Ⅷ \uff12",
    "\x01\x02\x1a",
    "word " * 20_000,
    "x" * 100_000,
    "é" * 100_000,
    " ".join(f"w{n}" for n in range(20_000)),
]


def table(*texts: str) -> sqlite3.Connection:
    """A full-text table as the index has it."""
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE passages_fts USING fts5(title, heading, text,"
        " tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    connection.executemany(
        "INSERT INTO passages_fts(rowid, title, heading, text) VALUES (?, '', '', ?)",
        [(row, unicodedata.normalize("NFC", text)) for row, text in enumerate(texts)],
    )
    return connection


def matched(connection: sqlite3.Connection, query: str) -> list[int]:
    """Rows that match, in order; none for an empty expression."""
    match = expression(terms(query))
    if not match:
        return []
    rows = connection.execute(
        "SELECT rowid FROM passages_fts WHERE passages_fts MATCH ? ORDER BY rowid", (match,)
    )
    return [row for (row,) in rows]


@pytest.fixture(scope="module")
def small() -> Iterator[sqlite3.Connection]:
    """Three texts."""
    connection = table("A café in Zürich", "running the NOT gate", "e-mail x title")
    yield connection
    connection.close()


@pytest.mark.parametrize("query", NASTY, ids=range(len(NASTY)))
def test_nasty_strings_are_legal(small: sqlite3.Connection, query: str) -> None:
    """No error, whatever it finds."""
    matched(small, query)


@given(st.text(st.characters(), max_size=60))
def test_any_string_is_legal(query: str) -> None:
    """Lone surrogates and NUL included."""
    connection = table("a b c")
    try:
        matched(connection, query)
    finally:
        connection.close()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_a_text_finds_itself(text: str) -> None:
    """What FTS5 indexed of a text is found by that text, whenever it has a word at all."""
    connection = table(text)
    try:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(passages_fts, row)")
        has_words = connection.execute("SELECT count(*) FROM words").fetchone()[0] > 0
        assert matched(connection, text) == ([0] if has_words else [])
    finally:
        connection.close()


def test_terms_are_folded_cut_and_distinct() -> None:
    """As unicode61 does it: case, accents, composed or not, punctuation."""
    assert terms("Cafe\u0301 CAFÉ cafe, e-mail's foo_bar") == [
        "cafe",
        "e",
        "mail",
        "s",
        "foo",
        "bar",
    ]
    assert terms("a\0b \ud800c") == ["a", "b", "c"]
    assert terms("?!…") == []


def test_operators_are_words(small: sqlite3.Connection) -> None:
    """NOT is looked for, and excludes nothing."""
    assert expression(terms("x NOT gate")) == '"x" OR "not" OR "gate"'
    assert matched(small, "x NOT gate") == [1, 2]


def test_stems_match(small: sqlite3.Connection) -> None:
    """By the porter stemmer of the table."""
    assert matched(small, "runs") == [1]
    assert matched(small, "zurich cafes") == [0]


def test_number_of_terms_is_bounded() -> None:
    """The first ones stay."""
    many = terms(" ".join(f"w{n}" for n in range(5_000)))
    assert many == [f"w{n}" for n in range(MAX_TERMS)]


def test_function_words_are_asked_for_only_where_there_are_no_others() -> None:
    """A question is mostly made of them."""
    assert telling(terms("How do I reset the router?")) == ["reset", "router"]
    assert telling(terms("To be or ...")) == ["to", "be", "or"]
