"""Text made safe, shortened, wrapped and marked."""

import re
import unicodedata

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch import terminal
from clsearch.terminal import excerpt, plural, readable_size, safe, without_heading


def test_safe_keeps_the_length_and_shows_what_was_there() -> None:
    """Every control and every bidirectional override becomes one visible character."""
    text = "".join(map(chr, [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2066]))
    shown = safe(text)
    assert len(shown) == len(text)
    assert not [point for point in shown if unicodedata.category(point) in ("Cc", "Cf")]
    assert safe("plain é 漢字 🙂 שלום") == "plain é 漢字 🙂 שלום"


def plain(lines: list[str]) -> list[str]:
    """Without styles."""
    return [click.unstyle(line) for line in lines]


def test_a_short_text_is_shown_whole() -> None:
    """Blanks become one space; marked words are bold and red, the rest of the sentence is bold."""
    bold, red = click.style("pulls the sea.", bold=True), click.style("moon", bold=True, fg="red")
    text = "Look:  the\tmoon pulls the sea. And."
    the, pulls, of, sea = (click.style(word, bold=True) for word in ("the", "pulls", "the", "sea."))
    assert bold.startswith("\x1b[1m")
    assert excerpt(text, [(11, 15)], 80, (7, 30)) == [f"Look: {the} {red} {pulls} {of} {sea} And."]


def test_marks_and_the_sentence_may_end_inside_a_word() -> None:
    """Each character has the style of what it is in: of both, it is red."""
    letters = {"a": {}, "b": {"bold": True}, "c": {"bold": True, "fg": "red"}}
    shown = [("aa", "a"), ("c", "c"), ("bb", "b"), ("cc", "c"), ("a", "a")]
    styled = [(text, click.style(text, **letters[kind])) for text, kind in shown]
    expected = "".join(text if text[0] == "a" else style for text, style in styled)
    assert excerpt("aacbbcca", [(2, 3), (5, 7)], 80, (2, 7)) == [expected]
    # A mark outside the sentence is red as well.
    assert excerpt("a c", [(2, 3)], 80, (0, 0)) == ["a " + click.style("c", bold=True, fg="red")]


@pytest.mark.parametrize("columns", [56, 79, 100])
def test_a_long_text_is_shown_from_its_sentence_on(columns: int) -> None:
    """Four lines, with what was left out on both sides; not from the first of the marks."""
    text = "moon " * 100 + "Here it is said of the moon. " + "filler " * 100
    start = text.index("Here")
    marks = [match.span() for match in re.finditer("moon", text)]
    shown = excerpt(text, marks, columns, (start, start + 28))
    assert len(shown) == 4
    assert plain(shown)[0].startswith("… Here it is said of the moon. filler")
    assert plain(shown)[-1].endswith(" …")
    assert shown[0].startswith("… " + click.style("Here", bold=True) + " ")
    assert click.style("moon", bold=True, fg="red") + click.style(".", bold=True) in shown[0]


def test_a_sentence_that_no_blank_parts_from_the_last_starts_the_excerpt() -> None:
    """As in Japanese."""
    text = "前の文である。" * 60 + "答えである。" + "次の文である。" * 60
    shown = plain(excerpt(text, [], 56, (420, 426)))
    assert shown[0].startswith("… 答えである。次の文")
    assert len(shown) == 4


def test_a_text_is_shown_from_where_it_goes_on() -> None:
    """Nothing before `start` is shown, and nothing is said to be left out there."""
    text = "## Reset\n\nHold it. Then let go."
    assert plain(excerpt(text, [], 80, (10, 18), 10)) == ["Hold it. Then let go."]
    assert plain(excerpt(text, [], 80, (0, 8), 10)) == ["Hold it. Then let go."]
    long = "heading\n" + "before " * 100 + "It is. " + "after " * 100
    start = long.index("It is.")
    assert plain(excerpt(long, [], 80, (start, start + 6), 8))[0].startswith("… It is.")
    for sentence in ((8, 14), (0, 0)):
        shown = plain(excerpt(long, [], 80, sentence, 8))
        assert shown[0].startswith("before before")
        assert "heading" not in " ".join(shown)


def test_the_end_of_a_text_fills_the_lines() -> None:
    """A sentence in the last words shows what comes before it, too."""
    text = "filler " * 200 + "last"
    shown = plain(excerpt(text, [(1400, 1404)], 60, (1400, 1404)))
    assert len(shown) == 4
    assert shown[-1].endswith("last")
    assert shown[0].startswith("… ")


@pytest.mark.parametrize(
    "text", ["word " * 300, "漢字かな交じり文。" * 100, "x" * 3000, "a\u0301" * 900, "🙂" * 400]
)
@pytest.mark.parametrize("columns", [56, 79, 100])
def test_no_line_is_wider_than_asked(text: str, columns: int) -> None:
    """Wide characters take two columns, accents none."""
    for sentence in ((0, 0), (100, 103), (500, 510), (len(text) - 5, len(text))):
        shown = plain(excerpt(text, [(500, 510)], columns, sentence))
        assert 1 <= len(shown) <= 4
        for line in shown:
            wide = sum(unicodedata.east_asian_width(point) in "WF" for point in line)
            accents = sum(unicodedata.category(point) == "Mn" for point in line)
            assert len(line) + wide - accents <= columns


def test_nothing_of_a_shown_text_is_lost_or_invented() -> None:
    """All marks, adjacent and overlapping the wrapping, leave the text as it is."""
    text = "one two three four five six seven eight nine ten"
    marks = [match.span() for match in re.finditer(r"\w+", text)]
    for sentence in ((0, 0), (0, 13), (14, len(text))):
        assert " ".join(plain(excerpt(text, marks, 20, sentence))) == text


@given(
    st.lists(st.sampled_from(["a", "word", " ", "\n", "\n\n", "\n- ", "漢字。", "\x1b"])),
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(0, 90)),
)
def test_an_excerpt_is_a_stretch_of_the_text(words: list[str], places: tuple[int, ...]) -> None:
    """Wherever the sentence is: in its order, with its first word where there is room for it."""
    text = "".join(words)
    start, low, high = sorted(min(place, len(text)) for place in places)
    shown = plain(excerpt(text, [], 56, (low, high), start))
    joined = "".join("".join(shown).replace("…", "").split())
    whole = "".join(safe("".join(text[start:].split())))
    assert joined in whole
    assert bool(joined) == bool(whole)
    if text[low:high].strip():
        assert safe("".join(text[low:high].split())[0]) in joined
    if joined != whole:
        assert "…" in shown[0] + shown[-1]


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
    assert excerpt(prose, [], 100, (0, 0)) == [
        "A sentence that was wrapped by its author at some width or other.",
        "Another one.",
    ]
    assert excerpt("- one\n- two\n", [], 100, (0, 0)) == ["- one", "- two"]
    assert excerpt("if x:\n    return y\n", [], 100, (0, 0)) == ["if x:", "return y"]


@pytest.mark.parametrize(
    ("text", "heading", "rest"),
    [
        ("# Reset\n\nHold it.", "Reset", "Hold it."),
        ("  ## Reset ##\nHold it.", "Reset", "Hold it."),
        ("Reset\n=====\nHold it.", "Reset", "Hold it."),
        ("Reset\n-----  \n\nHold it.", "Reset", "Hold it."),
        ("== Reset ==\nHold it.", "Reset", "Hold it."),
        ("# C#\nA language.", "C#", "A language."),
        ("Reset\n\n-- \nHold it.", "Reset", "-- \nHold it."),
        ("Reset\n--- it", "Reset", "--- it"),
        ("Reset it.\n", "Reset", "Reset it.\n"),
        ("# Reset", "Reset", "# Reset"),
        ("# Reset\n\n", "Reset", "# Reset\n\n"),
        ("Hold it.", "Reset", "Hold it."),
        ("Hold it.", "", "Hold it."),
        ("", "", ""),
    ],
)
def test_a_heading_is_not_shown_twice(text: str, heading: str, rest: str) -> None:
    """What follows it is shown; a heading alone stays."""
    assert text[without_heading(text, heading) :] == rest


def test_a_line_of_blanks_takes_no_time() -> None:
    """A table's may be as long as a passage; what takes a step for each pair would take minutes."""
    text = "a" + " #" * 100_000 + "b\nHold it."
    assert without_heading(text, "a") == 0
    assert excerpt(text, [], 80, (0, 1))[0].startswith(click.style("a", bold=True))


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
