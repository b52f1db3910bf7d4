"""Which words of a passage match a query."""

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence

Span = tuple[int, int]

_OPEN, _CLOSE = "\1", "\2"
# The marks themselves, and what SQLite's text cannot hold: none belongs to a word.
_NO_TEXT = re.compile("[\0-\2\ud800-\udfff]")


def spans(match: str, texts: Sequence[str]) -> list[tuple[Span, ...]]:
    """Of each text, the spans [start, end) in code points whose words match an FTS5 expression.

    >>> spans('"cafe" OR "run"', ["Running to the Café", "nothing"])
    [((0, 7), (15, 19)), ()]

    FTS5 itself says what matches: words are cut, folded and stemmed exactly as in the index.
    """
    found: list[tuple[Span, ...]] = [()] * len(texts)
    if not match:
        return found
    memory = sqlite3.connect(":memory:")
    try:
        memory.execute(
            "CREATE VIRTUAL TABLE passage USING"
            " fts5(text, tokenize = 'porter unicode61 remove_diacritics 2')"
        )
        memory.executemany(
            "INSERT INTO passage(rowid, text) VALUES (?, ?)",
            (
                (row, _NO_TEXT.sub(" ", unicodedata.normalize("NFC", text)))
                for row, text in enumerate(texts)
            ),
        )
        marked = memory.execute(
            "SELECT rowid, highlight(passage, 0, ?, ?) FROM passage WHERE passage MATCH ?",
            (_OPEN, _CLOSE, match),
        )
        for row, text in marked:
            found[row] = tuple(_as_read(texts[row], _marked(text)))
    finally:
        memory.close()
    return found


def _marked(text: str) -> Iterator[Span]:
    """The spans between marks, as offsets into the text without them."""
    before, *pieces = text.split(_OPEN)
    offset = len(before)
    for piece in pieces:
        word, rest = piece.split(_CLOSE)
        yield offset, offset + len(word)
        offset += len(word) + len(rest)


# Vowels and finals of decomposed Hangul: letters, and yet part of the character before them.
_JAMO = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")


def _as_read(text: str, normalised: Iterator[Span]) -> Iterator[Span]:
    """Spans of NFC(text) as spans of `text`, widened to whole characters with their accents.

    NFC changes nothing across the border of two such characters, so each is counted alone.
    """
    if unicodedata.is_normalized("NFC", text):
        yield from normalised
        return
    starts = [
        offset
        for offset, point in enumerate(text)
        if offset == 0 or not (unicodedata.category(point)[0] == "M" or _JAMO.match(point))
    ]
    ends = [*starts[1:], len(text)]
    source: list[int] = []  # of each code point of NFC(text): which of these it comes from
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        source += [number] * len(unicodedata.normalize("NFC", text[start:end]))
    for start, end in normalised:
        yield starts[source[start]], ends[source[end - 1]]
