"""What a person reads on a terminal: documents' text made safe, shortened, wrapped and marked."""

import io
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from typing import NamedTuple, TextIO

import click

Span = tuple[int, int]

EXCERPT_LINES = 4
NARROW, WIDE = 56, 100
# Runs longer than this (Chinese, a base64 blob) are broken where the line ends.
LONGEST_PIECE = 24
# A line that ends earlier than this was not ended by the width of a page.
SHORT_LINE = 45

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
    return text if text.isprintable() else text.translate(_STEERING)


class Stream(io.TextIOBase):
    """What a command writes, with the number of the stream, in the order of all streams."""

    def __init__(self, number: int, printed: list[tuple[int, bytes]]) -> None:
        """1 is standard output, 2 standard error."""
        self._number, self._printed = number, printed

    def write(self, text: str) -> int:
        """As `cli` has the streams of a terminal write."""
        self._printed.append((self._number, text.encode("utf-8", "backslashreplace")))
        return len(text)


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a command prints that is run for another process: not on this one's terminal."""

    out: TextIO
    err: TextIO
    colours: bool
    columns: int


_SCREEN: ContextVar[Screen | None] = ContextVar("screen", default=None)


@contextmanager
def printing_on(screen: Screen) -> Iterator[None]:
    """In the block, and in its thread alone, everything is printed there."""
    before = _SCREEN.set(screen)
    try:
        yield
    finally:
        _SCREEN.reset(before)


def echo(text: str, *, nl: bool = True, err: bool = False, color: bool | None = None) -> None:
    """As `click.echo`, on the screen of this thread."""
    screen = _SCREEN.get()
    file = None if screen is None else screen.err if err else screen.out
    click.echo(text, file, nl, err, color)


def colours() -> bool:
    """Whether stdout takes colours: a terminal, not a dumb one, and NO_COLOR is not set."""
    screen = _SCREEN.get()
    if screen is not None:
        return screen.colours
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def width() -> int:
    """Columns to fill: the terminal's, within what reads well."""
    screen = _SCREEN.get()
    columns = shutil.get_terminal_size().columns if screen is None else screen.columns
    return min(max(columns - 1, NARROW), WIDE)


class _Piece(NamedTuple):
    """A run of text without blanks and where it starts; what stands before it.

    `apart`: a blank. `breaks`: the end of a line that its author meant.
    """

    start: int
    text: str
    apart: bool
    breaks: bool

    @property
    def columns(self) -> int:
        return columns(self.text)


_MARKUP = "#= \t"  # around a heading


def without_heading(text: str, heading: str) -> int:
    """Where a passage goes on below the line of its heading, which stands above it already.

    >>> without_heading("## Reset\\n\\nHold it.", "Reset")
    10
    """
    first = re.match(r"\s*([^\n]*)(?:\n[=\-]{2,}[^\S\n]*(?=\n|$))?\s*", text)
    if first is None or first[1].strip(_MARKUP) != heading.strip(_MARKUP):
        return 0
    return first.end() % len(text) if text else 0


def excerpt(
    text: str,
    marks: Sequence[Span],
    room: int,
    sentence: Span,
    start: int = 0,
    styled: bool = True,
) -> list[str]:
    """A few lines of `text` from `start` on, around `sentence`, which is bold; `marks` are red.

    Spans [start, end) of code points, `marks` ascending. Lines of prose are filled again, those
    of lists, tables and code are kept; "…" stands where text was left out. No line is wider than
    `room` columns, styles not counted.
    """
    room -= 2
    cut = max(start, sentence[0])
    lead = text[start:cut].rstrip()
    following = _pieces(text, start + len(lead), cut)
    enough = EXCERPT_LINES + 1  # the last one only says that there is more
    rows = list(islice(_rows(following, room), enough))
    more = bool(lead.lstrip())
    if more and len(rows) < EXCERPT_LINES:  # the end of the text: show what comes before it
        pieces = [*_pieces(text, start, start, cut), *chain(*rows)]
        place = len(pieces) - sum(map(len, rows))
        while place and len(rows) < EXCERPT_LINES:
            longer = list(islice(_rows(pieces[place - 1 :], room), enough))
            if len(longer) > EXCERPT_LINES:
                break
            place, rows = place - 1, longer
        more = place > 0
    style = partial(_styled, marks=marks, sentence=sentence) if styled else _plain
    shown = [_line(row, style) for row in rows[:EXCERPT_LINES]]
    if shown and more:
        shown[0] = f"… {shown[0]}"
    if len(rows) > EXCERPT_LINES:
        shown[-1] += " …"
    return shown


# What begins a line that stands on its own: of a list, a heading, a quotation or a table.
_MARKER = re.compile(r"[-*+>|#•]|\d+[.)]")


_PIECE = re.compile(rf"\S{{1,{LONGEST_PIECE}}}")


def _pieces(text: str, end: int, low: int, high: int = sys.maxsize) -> Iterator[_Piece]:
    """The pieces of text[low:high], before which one has ended at `end`."""
    for found in _PIECE.finditer(text, low, high):
        start = found.start()
        lines = text.count("\n", end, start)
        short = end - (text.rfind("\n", 0, end) + 1) < SHORT_LINE
        breaks = lines > 1 or (lines == 1 and (short or bool(_MARKER.match(found[0]))))
        yield _Piece(start, safe(found[0]), start > end, breaks)
        end = found.end()


def _rows(pieces: Iterable[_Piece], room: int) -> Iterator[list[_Piece]]:
    row: list[_Piece] = []
    used = 0
    for piece in pieces:
        needed = piece.columns + (piece.apart and bool(row))
        if row and (piece.breaks or used + needed > room):
            yield row
            row, used, needed = [], 0, piece.columns
        row.append(piece)
        used += needed
    if row:
        yield row


def _line(row: Sequence[_Piece], style: Callable[[_Piece], str]) -> str:
    return "".join(
        (" " if piece.apart and number else "") + style(piece) for number, piece in enumerate(row)
    )


def _plain(piece: _Piece) -> str:
    return piece.text


def _styled(piece: _Piece, marks: Sequence[Span], sentence: Span) -> str:
    low, high = piece.start, piece.start + len(piece.text)
    inside = [span for span in marks if span[0] < high and span[1] > low]
    if not inside and (high <= sentence[0] or sentence[1] <= low):
        return piece.text
    cuts = sorted({low, high, *(p for span in (*inside, sentence) for p in span if low < p < high)})
    shown = ""
    for start, end in pairwise(cuts):
        part = piece.text[start - low : end - low]
        if any(span[0] <= start and end <= span[1] for span in inside):
            part = click.style(part, bold=True, fg="red")
        elif sentence[0] <= start and end <= sentence[1]:
            part = click.style(part, bold=True)
        shown += part
    return shown


def columns(text: str) -> int:
    """How many columns a terminal gives to `text`: two to wide characters, none to accents."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(point) or unicodedata.category(point) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(point) in "WF")
        for point in text
    )


def fitted(text: str, room: int) -> str:
    """`text`, safe and in exactly `room` columns: blanks after it, or "…" for its middle.

    >>> fitted("bge", 5) + "|", fitted("BAAI/bge-small", 9)
    ('bge  |', 'BAAI…mall')
    """
    text = safe(text)
    if columns(text) > room:
        start = _prefix(text, room // 2)
        end = _prefix(text[::-1], room - 1 - columns(start))[::-1]
        while end and not columns(end[0]):  # an accent whose letter was cut off
            end = end[1:]
        text = f"{start}…{end}"
    return text + " " * (room - columns(text))


def shortened(text: str, room: int) -> str:
    """`text`, safe and in at most `room` columns, "…" for its end."""
    text = safe(text)
    return text if columns(text) <= room else _prefix(text, room - 1) + "…"


def _prefix(text: str, room: int) -> str:
    """As much of the beginning as `room` columns hold."""
    used = 0
    for place, point in enumerate(text):
        used += columns(point)
        if used > room:
            return text[:place]
    return text


class Status:
    """One line on stderr that is written over; nothing at all where that is no terminal."""

    def __init__(self, on: bool | None = None) -> None:
        """`on`: whether it shows; where not said, whether stderr is a terminal."""
        self._on = sys.stderr.isatty() if on is None else on
        self._shown = 0.0
        self._clear = ""

    def show(self, text: str) -> None:
        """What goes on now; ten times a second at most, for it is called far more often."""
        now = time.monotonic()
        if self._on and now - self._shown >= 0.1:
            self._shown, self._clear = now, "\r\x1b[K"
            room = shutil.get_terminal_size().columns - 1
            click.echo(self._clear + shortened(text, room), nl=False, err=True)

    def leave(self, text: str) -> None:
        """What is done: a line that stays."""
        self.end()
        if self._on:
            click.echo(safe(text), err=True)

    def end(self) -> None:
        """Take away what is shown."""
        if self._clear:
            click.echo(self._clear, nl=False, err=True)
        self._shown, self._clear = 0.0, ""


SILENT = Status(on=False)


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
