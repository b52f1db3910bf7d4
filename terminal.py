"""What a person reads on a terminal: documents' text made safe, shortened, wrapped and marked."""

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

Span = tuple[int, int]

EXCERPT_LINES = 4
NARROW, WIDE = 56, 100
# Runs longer than this (Chinese, a base64 blob) are broken where the line ends.
LONGEST_PIECE = 24

# C0, DEL and C1 move the cursor, set titles, answer for the keyboard; the bidirectional controls
# reorder what is on the screen. Each becomes one visible character, so that offsets stay.
_STEERING = (
    {code: 0x2400 + code for code in range(0x20)}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
    | dict.fromkeys([0x061C, 0x200E, 0x200F, 0x2028, 0x2029], 0xFFFD)
    | dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
)


def safe(text: str) -> str:
    r"""`text` with nothing left that steers a terminal; as many code points as before.

    >>> safe("a\x1b[2Jb\n")
    'a␛[2Jb␊'
    """
    return text.translate(_STEERING)


def colours() -> bool:
    """Whether stdout takes colours: a terminal, not a dumb one, and NO_COLOR is not set."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def width() -> int:
    """Columns to fill: the terminal's, within what reads well."""
    return min(max(shutil.get_terminal_size().columns - 1, NARROW), WIDE)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of text without blanks, where it starts, and whether a blank stands before it."""

    start: int
    text: str
    apart: bool

    @property
    def columns(self) -> int:
        return _columns(self.text)


def excerpt(text: str, marks: Sequence[Span], columns: int) -> list[str]:
    """A few lines of `text`, around its best match, the words of `marks` in bold.

    `marks` are spans [start, end) of code points, ascending. Blanks and line ends become one space;
    "…" stands where text was left out. No line is wider than `columns`, styles not counted.
    """
    pieces = list(_pieces(text))
    first = _best_start(text, pieces, marks, columns * (EXCERPT_LINES - 1))
    rows = list(_rows(pieces[first:], columns - 2))
    while (
        first and len(rows) < EXCERPT_LINES
    ):  # the end of the text: show more of what comes before it
        first -= 1
        longer = list(_rows(pieces[first:], columns - 2))
        if len(longer) > EXCERPT_LINES:
            first += 1
            break
        rows = longer
    shown = [_line(row, marks) for row in rows[:EXCERPT_LINES]]
    if shown and first:
        shown[0] = f"…{' ' if pieces[first].apart else ''}{shown[0]}"
    if len(rows) > EXCERPT_LINES:
        shown[-1] += " …"
    return shown


def _pieces(text: str) -> Iterator[_Piece]:
    end = 0
    for found in re.finditer(rf"\S{{1,{LONGEST_PIECE}}}", text):
        yield _Piece(found.start(), safe(found.group()), found.start() > end)
        end = found.end()


def _best_start(text: str, pieces: Sequence[_Piece], marks: Sequence[Span], room: int) -> int:
    """The piece from which the next `room` columns hold the most different marked words."""
    marked = {
        number: {
            text[start:end].casefold()
            for start, end in marks
            if start < piece.start + len(piece.text) and end > piece.start
        }
        for number, piece in enumerate(pieces)
    }
    best, most = 0, -1
    for number in [0, *(number for number, words in marked.items() if words)]:
        start = max(0, number - 4)  # a few words before, so that the sentence can be followed
        words: set[str] = set()
        used = 0
        for inside in range(start, len(pieces)):
            used += pieces[inside].columns + pieces[inside].apart
            if used > room:
                break
            words |= marked[inside]
        if len(words) > most:
            best, most = start, len(words)
    return best


def _rows(pieces: Sequence[_Piece], columns: int) -> Iterator[list[_Piece]]:
    row: list[_Piece] = []
    used = 0
    for piece in pieces:
        needed = piece.columns + (piece.apart and bool(row))
        if row and used + needed > columns:
            yield row
            row, used, needed = [], 0, piece.columns
        row.append(piece)
        used += needed
    if row:
        yield row


def _line(row: Sequence[_Piece], marks: Sequence[Span]) -> str:
    shown = ""
    for number, piece in enumerate(row):
        shown += " " if piece.apart and number else ""
        at = piece.start
        end = at + len(piece.text)
        for low, high in marks:
            low, high = max(low, at), min(high, end)
            if low < high:
                shown += piece.text[at - piece.start : low - piece.start]
                word = piece.text[low - piece.start : high - piece.start]
                shown += click.style(word, bold=True, fg="red")
                at = high
        shown += piece.text[at - piece.start :]
    return shown


def _columns(text: str) -> int:
    """How many columns a terminal gives to `text`: two to wide characters, none to accents."""
    return sum(
        0
        if unicodedata.combining(point) or unicodedata.category(point) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(point) in "WF")
        for point in text
    )


def readable_size(size: int) -> str:
    """`1234567` -> `1.2 MB`."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 document`, `2,000 documents`; `nouns` where it takes no s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
