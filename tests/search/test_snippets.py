"""The words that are marked are the words that FTS5 matched."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from clsearch.search.lexical import expression, terms
from clsearch.search.snippets import spans


def words(query: str, text: str) -> list[str]:
    """The marked words."""
    return [text[start:end] for start, end in spans(expression(terms(query)), [text])[0]]


def test_stems_case_and_accents() -> None:
    """Marked as they stand in the text."""
    assert words("run naive cafés", "Running the naïve Café; a runner") == [
        "Running",
        "naïve",
        "Café",
    ]


def test_offsets_count_code_points() -> None:
    """Behind an emoji and other characters of several bytes."""
    assert spans(expression(terms("word")), ["\U0001f600 é word, word"]) == [((4, 8), (10, 14))]


def test_each_text_has_its_own() -> None:
    """In their order; nothing where nothing matches."""
    assert spans('"b"', ["a b", "c", "", "b"]) == [((2, 3),), (), (), ((0, 1),)]
    assert spans("", ["a"]) == [()]
    assert spans('"a"', []) == []


def test_decomposed_text() -> None:
    """Offsets are into the text as read, though it is NFC that is searched."""
    decomposed = unicodedata.normalize("NFD", "Là-bas, un café à Việt Nam, 한국어 책")
    assert [
        unicodedata.normalize("NFC", word) for word in words("cafe viet 한국어", decomposed)
    ] == [
        "café",
        "Việt",
        "한국어",
    ]


def test_what_sqlite_cannot_hold() -> None:
    """NUL, lone surrogates and the marks themselves shift no offset."""
    assert words("b d", "a\0b \ud800\x01c\x02d") == ["b", "d"]


@given(st.text(st.characters(), max_size=40))
def test_any_text_marks_its_own_words(text: str) -> None:
    """Queried by itself, every word is marked: spans rise, never overlap, and hold the words."""
    marked = spans(expression(terms(text)), [text])[0]
    edges = [offset for span in marked for offset in span]
    assert edges == sorted(edges)
    assert all(start < end <= len(text) for start, end in marked)
    rest = list(text)
    for start, end in reversed(marked):
        rest[start:end] = " "
    assert expression(terms("".join(rest))) == ""


@given(st.text(st.characters(categories=["Ll", "Lo", "Mn", "Mc", "Zs"]), max_size=40))
def test_decomposed_text_marks_the_same_words(text: str) -> None:
    """Marked in NFD, each span is the NFD of the span marked in NFC, but for accents alone."""
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    in_nfc = words(text, composed)
    in_nfd = [unicodedata.normalize("NFC", word) for word in words(text, decomposed)]
    assert len(in_nfc) == len(in_nfd)
    assert all(b.startswith(a) or a in b for a, b in zip(in_nfc, in_nfd, strict=True))
