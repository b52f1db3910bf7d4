"""Text made safe, shortened, wrapped and marked."""

import re
import unicodedata

import click
import pytest

from clsearch import terminal
from clsearch.terminal import excerpt, plural, readable_size, safe, without_heading


def test_safe_keeps_the_length_and_shows_what_was_there() -> None:
    """Every control and every bidirectional override becomes one visible character."""
    text = "".join(map(chr, [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2066]))
    shown = safe(text)
    assert len(shown) == len(text)
    assert not [point for point in shown if unicodedata.category(point) in ("Cc", "Cf")]
    assert safe("plain é 漢字 🙂 שלום") == "plain é 漢字 🙂 שלום"


def test_a_short_text_is_shown_whole() -> None:
    """Blanks become one space, and the marked words are bold and red."""
    (line,) = excerpt("The  moon\tpulls the sea.", [(5, 9)], 80)
    assert line == f"The {click.style('moon', bold=True, fg='red')} pulls the sea."


def test_a_long_text_is_shown_around_the_most_of_the_marked_words() -> None:
    """Not around the first one: two different words outweigh it."""
    text = "alpha " + "filler " * 100 + "before beta gamma after " + "filler " * 100
    marks = [match.span() for match in re.finditer("alpha|beta|gamma", text)]
    shown = [click.unstyle(line) for line in excerpt(text, marks, 60)]
    assert len(shown) == 4
    assert shown[0].startswith("… ")
    assert shown[-1].endswith(" …")
    assert "before beta gamma after" in " ".join(shown)


def test_the_end_of_a_text_fills_the_lines() -> None:
    """A match in the last words shows what comes before it, too."""
    text = "filler " * 200 + "last"
    shown = [click.unstyle(line) for line in excerpt(text, [(1400, 1404)], 60)]
    assert len(shown) == 4
    assert shown[-1].endswith("last")


@pytest.mark.parametrize(
    "text", ["word " * 300, "漢字かな交じり文。" * 100, "x" * 3000, "a\u0301" * 900, "🙂" * 400]
)
@pytest.mark.parametrize("columns", [56, 79, 100])
def test_no_line_is_wider_than_asked(text: str, columns: int) -> None:
    """Wide characters take two columns, accents none."""
    for line in excerpt(text, [(500, 510)], columns):
        plain = click.unstyle(line)
        wide = sum(unicodedata.east_asian_width(point) in "WF" for point in plain)
        accents = sum(unicodedata.category(point) == "Mn" for point in plain)
        assert len(plain) + wide - accents <= columns


def test_nothing_of_a_shown_text_is_lost_or_invented() -> None:
    """All marks, adjacent and overlapping the wrapping, leave the text as it is."""
    text = "one two three four five six seven eight nine ten"
    marks = [match.span() for match in re.finditer(r"\w+", text)]
    assert " ".join(click.unstyle(line) for line in excerpt(text, marks, 20)) == text


def test_counts_and_sizes() -> None:
    """In words."""
    assert (plural(1, "query", "queries"), plural(2, "query", "queries")) == (
        "1 query",
        "2 queries",
    )
    assert plural(1234, "passage") == "1,234 passages"
    assert [readable_size(n) for n in (0, 999, 1000, 45_300_000)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "45.3 MB",
    ]


def test_lists_keep_their_lines_and_prose_is_filled() -> None:
    """A line that is wrapped at the width of a page is no line of its own."""
    prose = "A sentence that was wrapped by its author at some\nwidth or other.\n\nAnother one."
    assert excerpt(prose, [], 100) == [
        "A sentence that was wrapped by its author at some width or other.",
        "Another one.",
    ]
    assert excerpt("- one\n- two\n", [], 100) == ["- one", "- two"]
    assert excerpt("if x:\n    return y\n", [], 100) == ["if x:", "return y"]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("# Reset\n\nHold it.", "Hold it."),
        ("Reset\n=====\nHold it.", "Hold it."),
        ("Reset it.\n", "Reset it.\n"),
        ("# Reset", "# Reset"),
        ("Hold it.", "Hold it."),
    ],
)
def test_a_heading_is_not_shown_twice(text: str, rest: str) -> None:
    """Marks move with the text; a heading alone stays."""
    shown, marks = without_heading(text, [m.span() for m in re.finditer("it", text)], "Reset")
    assert shown == rest
    assert [shown[start:end] for start, end in marks] == ["it"] * rest.count("it")


@pytest.mark.parametrize(
    "text", ["a", "BAAI/bge-small-en-v1.5", "日本語の検索エンジン", "e\u0301" * 30], ids=range(4)
)
@pytest.mark.parametrize("room", [1, 7, 8, 40])
def test_a_cell_is_as_wide_as_its_column(text: str, room: int) -> None:
    """Both ends of what is too long are kept; a steering character becomes a visible one."""
    cell = terminal.fitted(text, room)
    assert terminal.columns(cell) == room
    if terminal.columns(text) > room:
        first, last = cell.rstrip().split("…")
        assert text.startswith(first)
        assert text.endswith(last)
    assert terminal.columns(terminal.shortened(text, room)) <= room
    assert terminal.fitted("\x1b[2J", 9) == "␛[2J     "
    assert terminal.fitted("BAAI/bge-small", 9) == "BAAI…mall"


def test_a_status_is_one_line_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Shown ten times a second at most; what is left stays; off, it says nothing.

    What clears the line is taken out by click where stderr is no terminal.
    """
    status = terminal.Status(on=True)
    for number in range(1000):
        status.show(f"{number} of 1000")
    status.leave("done")
    status.end()
    assert capsys.readouterr().err == "\r0 of 1000\rdone\n"
    terminal.SILENT.show("x")
    terminal.SILENT.leave("y")
    assert capsys.readouterr().err == ""
