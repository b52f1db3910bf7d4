"""Any string is a legal query; marks mean what they say, or are text."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clsearch.index.analysis import asked, asked_whole
from clsearch.index.store import fulltext
from clsearch.search.query import MAX_TERMS, Query, parse, plain

NASTY = [
    "",
    " \t\n",
    '"',
    '""""',
    '"unbalanced',
    '-"unbalanced words',
    '"a"b" "c"',
    "a AND",
    "NOT",
    "NEAR(a b, 2)",
    "title: x",
    'title:"',
    "title:title:title:x",
    "-title:",
    "--- -- -",
    '-"',
    '-""',
    '"-"',
    '-title:"hard reset"',
    "-x +y ^z",
    "a*",
    '"a* b"*',
    "(((",
    "'; DROP TABLE passages_fts; --",
    "\0",
    "a\0b",
    '"a\0b"',
    "\ud800",
    "caf\udce9",
    '"\ud800" -\ud800\ud800\ud800',
    "\U0001f600",
    '"\U0001f600"',
    "日本語テスト",
    '"日本語 テスト" -京',
    "한국어",
    "\u0301",
    '"\u0301"',
    "क्षि",
    "½ Ⅷ \uff12",
    '"⑴-a" -⑴⑴⑴-b "ﷺ-a"',
    "\x01\x02\x1a",
    "word " * 20_000,
    '"' + "word " * 20_000 + '"',
    '"' + "word " * 20_000,
    '"' * 100_000,
    '"a" ' * 20_000,
    "x" * 100_000,
    '"' + "x" * 100_000,
    "-" * 100_000 + "x",
    "é" * 100_000,
    " ".join(f"w{n}" for n in range(20_000)),
    " ".join(f"-word{n}" for n in range(20_000)),
    " ".join(f'"word{n}" -get{n}-user' for n in range(300)),
]

TEXTS = {
    1: ("Router", "", "Hold the button for a hard reset of the wireless router."),
    2: ("Hard drives", "Reset", "A reset is hard on wires."),
    3: ("Names", "", "getUserName, wi-fi and CVE-2021-44228"),
    4: ("Plain", "", "the user name of the wifi; CVE-2021-44229"),
    5: ("세계", "", "모든 인간은 천부적으로 자유롭다"),
    6: ("東京", "", "東京都の人口、東京 タワー"),
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    """The full-text tables as an index has them."""
    made = sqlite3.connect(":memory:")
    for table in fulltext.TABLES:
        made.execute(table)
    made.executemany(
        "INSERT INTO passages_fts (rowid, title, heading, text, whole) VALUES (?, ?, ?, ?, ?)",
        [(id, *fulltext.columns(*parts)) for id, parts in TEXTS.items()],
    )
    yield made
    made.close()


def matching(connection: sqlite3.Connection, expression: str) -> set[int]:
    sql = "SELECT rowid FROM passages_fts WHERE passages_fts MATCH ?"
    return {id for (id,) in connection.execute(sql, (expression,))}


def found(connection: sqlite3.Connection, text: str) -> list[int]:
    """Rows that have any of the terms, all that is required and nothing excluded."""
    query = parse(text)
    ids = matching(connection, fulltext.match_any(query.terms, query.whole))
    for expression in query.required:
        ids &= matching(connection, expression)
    for expression in query.excluded:
        ids -= matching(connection, expression)
    return sorted(ids)


def check_legal(connection: sqlite3.Connection, text: str) -> None:
    """Each expression is accepted alone, and where `Lexical` puts it."""
    query = parse(text)
    assert len(query.terms) <= MAX_TERMS
    assert len(query.whole) <= MAX_TERMS
    assert len(query.required) + len(query.excluded) <= MAX_TERMS
    terms = fulltext.match_any(query.terms, query.whole) or '"x"'
    matching(connection, terms)
    for expression in (*query.required, *query.excluded):
        matching(connection, expression)
        matching(connection, f"({terms}) NOT ({expression})")
    if query.excluded:
        without = f"({terms}) NOT ({' OR '.join(query.excluded)})"
        each = [matching(connection, expression) for expression in query.excluded]
        assert matching(connection, without) == matching(connection, terms).difference(*each)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_strings_are_legal(connection: sqlite3.Connection, text: str) -> None:
    """No error, whatever it finds; what took time with the square of its length would not end."""
    check_legal(connection, text)


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(), max_size=8),
            st.sampled_from(
                ['"', '-"', " ", " -", "title:", "-text:", "abc", "wi-fi", "東", "인간은", "⑴", ":"]
            ),
        ),
        max_size=12,
    ).map("".join)
)
@example('-"wi-fi" wi-fi')
def test_any_string_is_legal(connection: sqlite3.Connection, text: str) -> None:
    """Lone surrogates and NUL included; text without a term is the only one that finds nothing."""
    check_legal(connection, text)
    query = parse(text)
    assert bool(query.text.strip()) == bool(text.strip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reset router", Query("reset router", ("reset", "router"))),
        (
            '"hard resets" router -wireless',
            Query(
                "hard resets router",
                ("hard", "reset", "router"),
                (),
                ('{title heading text} : "hard reset"',),
                ('{title heading text} : "wireless"',),
            ),
        ),
        ("title:router", Query("router", ("router",), (), ('title : "router"',))),
        (
            'heading:"hard drives" disk',
            Query(
                "hard drives disk",
                ("hard", "drive", "disk"),
                (),
                ('heading : "hard drive"',),
            ),
        ),
        ("disk -text:wi-fi", Query("disk", ("disk",), (), (), ('text : "wi fi"',))),
        (
            'x -"hard reset"',
            Query("x", ("x",), (), (), ('{title heading text} : "hard reset"',)),
        ),
        (
            'log "CVE-2021-44228"',
            Query(
                "log CVE-2021-44228",
                ("log", "cve", "2021", "44228"),
                ("=cve-2021-44228",),
                ('"=cve-2021-44228"',),
            ),
        ),
        (
            "air -data-bases",
            Query(
                "air",
                ("air",),
                (),
                (),
                ('"databas"',),
            ),
        ),
        ('"京"', Query("京", ("京*",), (), ('{title heading text} : "京"*',))),
        ("京都 -東京", Query("京都", ("京都",), (), (), ('{title heading text} : "東京"',))),
        ("京都 -東", Query("京都", ("京都",), (), (), ('{title heading text} : "東"*',))),
        (
            '"reset", now',
            Query("reset, now", ("reset", "now"), (), ('{title heading text} : "reset"',)),
        ),
    ],
)
def test_marks(text: str, expected: Query) -> None:
    """What the encoder is given is the query without them."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '5" disk',
        'a 3.5" or 5.25" disk',
        "tar -x -zf",
        "std::vector",
        "http://localhost",
        "subtitle:x",
        "title: router",
        "e-mail",
        "10 - 3",
        "1 -2",
        'say"hard reset"',
        '"hard reset"s',
        "NOT a AND b OR c",
        '"?!"',
        "- word",
        "-",
        'unclosed "hard reset',
    ],
)
def test_marks_that_are_text(text: str) -> None:
    """Nothing is required, nothing excluded."""
    assert parse(text) == plain(text)
    assert plain(text).terms == tuple(asked(text))
    assert plain(text).whole == tuple(asked_whole(text))


@pytest.mark.parametrize("text", ["-wireless", '-"hard reset"', "-title:router -wireless", " -京 "])
def test_nothing_but_exclusions_is_text(text: str) -> None:
    """There is nothing to look for but these words."""
    assert parse(text) == plain(text)
    assert parse(text).terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reset", [1, 2]),
        ('"hard reset"', [1]),
        ('"hard resetting"', [1]),
        ('"reset hard"', []),
        ("reset -wireless", [2]),
        ('reset -"hard reset"', [2]),
        ("reset -title:hard", [1]),
        ("reset heading:reset", [2]),
        ("reset text:reset", [1, 2]),
        ('"title:router"', []),
        ("getUserName", [3, 4]),
        ('"getUserName"', [3]),
        ('"user name"', [3, 4]),
        ("user -getUserName", [4]),
        ("wi-fi", [3, 4]),
        ('"wi-fi"', [3, 4]),
        ("wifi", [3, 4]),
        ("cve -wi-fi", [3, 4]),  # two letters
        ("cve -getUserName", [4]),
        ('"getUserName, wi"', [3]),
        ('"x getUserName"', []),
        ("user -title:wi-fi -text:wi-fi", [4]),
        ('"CVE-2021-44228"', [3]),
        ("CVE -CVE-2021-44228", [4]),
        ("인간", [5]),
        ('"인간은 천부"', [5]),
        ('"인간 천부"', []),
        ('"모든 인간은 천부적으로 자유롭다"', [5]),
        ("인", [5]),
        ('"東京 タワー"', [6]),
        ("京", [6]),
        ("인간 -천부적", []),
        ("세계 -東京", [5]),
    ],
)
def test_what_it_finds(connection: sqlite3.Connection, text: str, expected: list[int]) -> None:
    """In FTS5."""
    assert found(connection, text) == expected


def test_number_of_terms_is_bounded() -> None:
    """The first ones stay; so do the first marks."""
    many = parse(" ".join(f"w{n}" for n in range(5_000)))
    assert many.terms == tuple(f"w{n}" for n in range(MAX_TERMS))
    many = parse(" ".join(f'-word{n}x "a{n}"' for n in range(5_000)))
    assert len(many.required) == len(many.excluded) == MAX_TERMS // 2
    assert many.terms == tuple(f"a{n}" for n in range(MAX_TERMS))
