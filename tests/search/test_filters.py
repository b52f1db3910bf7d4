"""Filters against an oracle in plain Python that knows no SQL; what cannot be read, and limits."""

import json
import math
import operator
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clsearch.index.errors import IndexDamaged, UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Document
from clsearch.search.filters import BUILT_IN, parse

KEYS = ["lang", "year", "path", "author", "a.b", 'q"q', "", "\\", "'; DROP TABLE documents; --"]
KEYS += ['$."a"', "[0]", "é", "e\u0301", "日本", "😀", "in", "%", "\ufffd", "\n", "metadata"]
TEXTS = ["", "en", "EN", "a", "b", "2020", "2020.0", "-1e3", " 7 ", "007", "+5", ".5", "1.", "0x1F"]
TEXTS += ["NaN", "Infinity", "true", "null", "[1]", "2024-05-01", "2024-05-01T10:00", "%_\\", "a%"]
TEXTS += ["'; DROP TABLE passages; --", '$."a"', "?", "é", "e\u0301", "😀", "Ä", "ä", "\n", "''"]
NUMBERS = [0, 1, -1, 7, 2020, 0.0, -0.0, 0.1, 0.5, 1e300, -1e-300, 5e-324, 2**53, 2**53 + 1]
NUMBERS += [2.0**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**70, 9007199254740993.0]

texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map(
    lambda text: text.replace("\0", "")
)
numbers = (
    st.sampled_from(NUMBERS) | st.integers(-(2**65), 2**65) | st.floats(-1e9, 1e9, allow_nan=False)
)
scalars = st.none() | st.booleans() | numbers | texts
keys = st.sampled_from(KEYS[:3]) | st.sampled_from(KEYS)
values = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=3),
    max_leaves=6,
)
metadata = st.dictionaries(keys, values, max_size=4)

TEXT_FIELDS = ("id", "path", "title", "heading", "source")
NUMBER_FIELDS = ("size", "line", "page", "mtime", "modified")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
A_NUMBER = re.compile(r"[ \t\n\r]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?[ \t\n\r]*")


# -- expressions: (text, oracle), the oracle a function of a row ------------------------------

Row = Mapping[str, Any]
Oracle = Callable[[Row], bool]
Expression = tuple[str, Oracle]


def quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace(quote, quote * 2) + quote


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else str(value)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__


def as_number(value: Any) -> float | int | None:
    """As SQLite holds it: an integer beyond 64 bits is a float."""
    if isinstance(value, str):
        if not A_NUMBER.fullmatch(value):
            return None
        value = float(value) if set(value) & set(".eE") else int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value  # type: ignore[no-any-return]


def compares(value: Any, sign: str, given: Any) -> bool:
    if kind(given) == "number":
        if kind(value) not in ("number", "str"):
            return False
        number = as_number(value)
        return number is not None and SIGNS[sign](number, as_number(given))
    if isinstance(given, str) and isinstance(value, str):
        return SIGNS[sign](value.encode(), given.encode())
    return kind(value) == kind(given) == "boolean" and SIGNS[sign](value, given)


def is_like(value: Any, pattern: str) -> bool:
    if not isinstance(value, str):
        return False
    parts, place = [], 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\":
            place += 1
            if place == len(pattern):
                return False
            parts.append(re.escape(pattern[place]))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
        place += 1
    fold = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
    folded = re.compile("".join(parts).translate(fold), re.DOTALL)
    return bool(folded.fullmatch(value.translate(fold)))


def looked_up(row: Row, path: tuple[str, ...]) -> Any:
    if path[0] == "built-in":
        return row[path[1]]
    value: Any = row["metadata"]
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def having(path: tuple[str, ...], test: Callable[[Any], bool]) -> Oracle:
    def holds(row: Row) -> bool:
        value = looked_up(row, path)
        return any(map(test, value)) if isinstance(value, list) else test(value)

    return holds


def there(path: tuple[str, ...]) -> Oracle:
    return lambda row: looked_up(row, path) is not None


def but(path: tuple[str, ...], holds: Oracle) -> Oracle:
    return lambda row: there(path)(row) and not holds(row)


bare = re.compile(r"[^\W\d][\w-]*")


@st.composite
def fields(draw: st.DrawFn) -> tuple[str, tuple[str, ...], str]:
    """(as written, path, what it holds)."""
    built_in = draw(st.sampled_from([None, None, None, "text", "number"]))
    if built_in:
        name = draw(st.sampled_from(TEXT_FIELDS if built_in == "text" else NUMBER_FIELDS))
        return name, ("built-in", name), built_in
    path = tuple(
        draw(st.lists(keys, min_size=1, max_size=2) | st.lists(keys, min_size=1, max_size=4))
    )
    parts = [
        key if bare.fullmatch(key) and key != "in" and draw(st.booleans()) else quoted(key, '"')
        for key in path
    ]
    # What a bare first part would mean is said another way.
    if (parts[0] in BUILT_IN and len(path) == 1) or parts[0] == "metadata":
        parts[0] = draw(st.sampled_from([f"metadata.{path[0]}", quoted(path[0], '"')]))
    return draw(st.sampled_from([".", " . "])).join(parts), path, "json"


def literals(holds: str) -> st.SearchStrategy[Any]:
    if holds == "number":
        return numbers
    return texts | numbers if holds == "text" else texts | numbers | st.booleans()


@st.composite
def conditions(draw: st.DrawFn) -> Expression:
    name, path, holds = draw(fields())
    form = draw(st.sampled_from(["compare", "compare", "in", "like", "between", "null"]))
    if form == "null":
        negated = draw(st.booleans())
        oracle = there(path) if negated else but_not(there(path))
        return f"{name} is {'not ' if negated else ''}null", oracle
    if form == "like" and holds != "number":
        pattern = draw(texts | st.text("aA%_\\é", max_size=5))
        test = having(path, lambda value: is_like(value, pattern))
        condition = f"LIKE {written(pattern)}"
    elif form == "in":
        listed = draw(st.lists(literals(holds), min_size=1, max_size=4))
        test = having(path, lambda value: any(compares(value, "=", one) for one in listed))
        condition = f"in ({', '.join(map(written, listed))})"
    elif form == "between":
        bounds = numbers if holds == "number" else draw(st.sampled_from([numbers, texts]))
        low, high = draw(bounds), draw(bounds)
        test = having(
            path, lambda value: compares(value, ">=", low) and compares(value, "<=", high)
        )
        condition = f"between {written(low)} and {written(high)}"
    else:
        given = draw(literals(holds))
        sign = draw(st.sampled_from(["=", "=="] if isinstance(given, bool) else list(SIGNS)))
        test = having(path, lambda value: compares(value, sign, given))
        if sign == "=" and draw(st.booleans()):
            return f"{name}{draw(st.sampled_from(['!=', ' <> ']))}{written(given)}", but(path, test)
        return f"{name} {sign} {written(given)}", test
    if draw(st.booleans()):
        return f"{name} not {condition}", but(path, test)
    return f"{name} {condition}", test


def but_not(oracle: Oracle) -> Oracle:
    return lambda row: not oracle(row)


def joined(parts: list[Expression], word: str) -> Expression:
    oracles = [oracle for _, oracle in parts]
    every = all if word == "and" else any
    return f" {word} ".join(f"({text})" for text, _ in parts), lambda row: every(
        oracle(row) for oracle in oracles
    )


expressions = st.recursive(
    conditions(),
    lambda below: (
        st.builds(joined, st.lists(below, min_size=2, max_size=3), st.sampled_from(["and", "or"]))
        | below.map(lambda one: (f"not ({one[0]})", but_not(one[1])))
    ),
    max_leaves=5,
)


# -- an index ----------------------------------------------------------------------------------


class Table:
    """An index whose documents a test can replace, without an encoder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = sqlite3.connect(path / "index.db", isolation_level=None)
        self.writer.execute("PRAGMA synchronous = OFF")

    def fill(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write one passage each; gives the rows, by passage id from 1."""
        self.writer.execute("BEGIN")
        for table in ("passages", "documents", "sources"):
            self.writer.execute(f"DELETE FROM {table}")
        self.writer.execute("INSERT INTO sources (id, name, root) VALUES (1, 'a.csv', '.')")
        for key, document in enumerate(documents, 1):
            row = {"id": f"d{key}", "title": "", "source": None, "mtime": None, "size": 5}
            row |= {"heading": "", "line": 1, "page": None, "metadata": {}} | document
            document |= row | {"path": row["id"], "modified": row["mtime"]}
            self.writer.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, '', '', ?, ?, '')",
                (
                    key,
                    row["id"],
                    row["source"] and 1,
                    row["title"],
                    json.dumps(row["metadata"], ensure_ascii=False),
                    row["mtime"],
                    row["size"],
                ),
            )
            self.writer.execute(
                "INSERT INTO passages VALUES (?, ?, 0, 0, ?, ?, ?, '', NULL)",
                (key, key, row["line"], row["page"], row["heading"]),
            )
        self.writer.execute("COMMIT")
        return documents

    def matching(self, text: str) -> list[int]:
        with Snapshot.open(self.path) as snapshot:
            return snapshot.matching(parse(text)).tolist()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    from words_encoder import WordsEncoder

    path = tmp_path_factory.mktemp("filters") / "index"
    Index.open(path, encoder=WordsEncoder()).close()
    made = Table(path)
    yield made
    made.writer.close()


rows = st.fixed_dictionaries(
    {"metadata": metadata},
    optional={
        "title": texts,
        "heading": texts,
        "source": st.just("a.csv"),
        "size": st.integers(0, 9),
        "line": st.integers(1, 9),
        "page": st.integers(1, 9),
        "mtime": st.sampled_from([0.0, 7.5, 1.7e9, 1714552200.25]),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(rows, min_size=1, max_size=8), st.lists(expressions, min_size=1, max_size=4))
def test_any_expression_finds_what_the_oracle_finds(
    table: Table, documents: list[dict[str, Any]], asked: list[Expression]
) -> None:
    documents = table.fill(documents)
    for text, oracle in asked:
        right = [id for id, row in enumerate(documents, 1) if oracle(row)]
        assert table.matching(text) == right, text


@settings(max_examples=100, deadline=None)
@given(values, st.lists(literals("json"), min_size=1, max_size=6))
@example("2020.0", [2020, 2020.0, "2020.0"])
@example([True, 1, "1"], [1, True, "1"])
@example("it's ''quoted''", ["it's 'quoted'"])
@example(2**63, [2**63, 2**63 + 1, 2**63 - 1, float(2**63)])
def test_any_value_stands_to_any_other_as_the_oracle_says(
    table: Table, value: Any, others: list[Any]
) -> None:
    """Denser than the above: one key, every sign."""
    table.fill([{"metadata": {"k": value}}])
    itself = [] if value is None or isinstance(value, list | dict) else [value]
    for other in others + itself:
        for sign in ["="] if isinstance(other, bool) else SIGNS:
            oracle = having(("k",), lambda one: compares(one, sign, other))  # noqa: B023
            found = table.matching(f"k {sign} {written(other)}")
            assert bool(found) == oracle({"metadata": {"k": value}}), (value, sign, other)


@given(st.text(max_size=30) | st.text("'\"().,=<>ab1 -\0", max_size=30))
@example("'" * 5)
@example("1e99999 " * 3)
@example("a = " + "9" * 5000)
@example("a = " + "0" * 5000)
@example("a = 1." + "0" * 5000)
@example("(" * 5000)
@example("not " * 5000 + "a = 1")
@example("a." * 5000 + "b = 1")
@example("a like '" + "é" * 25_001 + "'")
def test_any_text_is_read_or_refused(table: Table, text: str) -> None:
    """With UsageError and no other; what is read, SQLite can run."""
    try:
        parse(text)
    except UsageError:
        return
    table.matching(text)


# -- by hand -----------------------------------------------------------------------------------

NOTES: list[dict[str, Any]] = [
    {"id": "notes/a.md", "title": "One", "metadata": {"lang": "en", "year": 2021, "tag": ["a"]}},
    {"id": "notes/b.md", "metadata": {"lang": "de", "year": "2021", "tag": ["b", "c"]}, "page": 3},
    {"id": "c.csv#1", "source": "a.csv", "metadata": {"year": 2019.5, "author": {"name": "Ann"}}},
    {"id": "d", "metadata": {"lang": None, "draft": True, "path": "x", "date": "2024-05-01T10:00"}},
    {"id": "e", "mtime": datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp(), "size": 700},
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lang = 'en' and year >= 2020 and path like 'notes/%' and tag in ('a','b')", [1]),
        ("YEAR = 2021 or year = 2021", [1, 2]),
        ("year = '2021'", [2]),
        ("year between 2019 and 2020", [3]),
        ("year is null", [4, 5]),
        ("lang is not null", [1, 2]),
        ("lang != 'en'", [2]),
        ("not (lang = 'en')", [2, 3, 4, 5]),
        ("not not lang = 'en'", [1]),
        ("tag != 'b'", [1]),
        ("tag not in ('a', 'c')", []),
        ("author.name like 'ANN'", [3]),
        ("author = 'Ann' or author is null and draft = true", [4]),
        ("author is not null", [3]),
        ("lang.name = 'en' or tag.a = 'a' or year = 2021 and lang.name is null", [1, 2]),
        ("draft = 1 or draft = 'true' or draft = false", []),
        ("path = 'd'", [4]),
        ("metadata.path = 'x' and \"path\" = 'x'", [4]),
        ("page = 3", [2]),
        ("page != 4", [2]),
        ("page > 2 or title = 'One'", [1, 2]),
        ("source like '%.CSV'", [3]),
        ("size > 5e2", [5]),
        ("date >= date '2024-05-01' and date < '2024-05-02'", [4]),
        ("mtime >= '2024-05-01T12:00:00+00:00'", [5]),
        ("modified > '2024-05-01 14:00:00+02:00'", []),
        ("mtime between '2024-04-29' and date '2024-05-03'", [5]),
        ("mtime is null", [1, 2, 3, 4]),
        ("id like 'notes/_.md' and not path like '%b%'", [1]),
        ("id like '%\\#%'", [3]),
        ("(lang='en'or lang='de')and(page is null)", [1]),
        ("lang\n=\t'en'", [1]),
    ],
)
def test_by_hand(table: Table, text: str, found: list[int]) -> None:
    table.fill([dict(note) for note in NOTES])
    assert table.matching(text) == found


def test_a_time_without_zone_is_local(table: Table) -> None:
    here = datetime(2024, 5, 1, 9, 30).astimezone()
    table.fill([{"mtime": here.timestamp()}])
    assert table.matching("mtime = '2024-05-01T09:30'") == [1]
    assert table.matching(f"mtime = '{here.isoformat()}'") == [1]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "at its end", "the name of a field"),
        ("lang", "at its end", "=, !=, <"),
        ("lang = ", "at its end", "a value was expected"),
        ('lang = "en"', "at character 8, '\"en\"'", "text stands in single quotes"),
        ("lang = 'en", "at character 8", "never closed"),
        ("x = null", "at character 5", "write `is null`"),
        ("x = 2024-05-01", "at character 5, '2024-05-01'", "dates stand in single quotes"),
        ("x = 1e999", "at character 5", "too large"),
        ("x < true", "at character 3", "no order"),
        ("x between 1 and 'a'", "at character 3", "two numbers or two texts"),
        ("x like 3", "at character 8", "a pattern in single quotes"),
        ("x in ()", "at character 7", "a value was expected"),
        ("x in (1", "at its end", "a comma or the closing"),
        ("x is 3", "at character 6", "null or not null"),
        ("in = 3", "at character 1", "the name of a field"),
        ("a = 1 b = 2", "at character 7, 'b = 2'", "and, or or the end"),
        ("(a = 1", "at its end", ") was expected"),
        ("a ~ 1", "at character 3", "means nothing here"),
        ("size = 'a'", "at character 8", "holds a number"),
        ("title = true", "at character 9", "holds text"),
        ("page like '1%'", "at character 11", "holds a number"),
        ("mtime > 'yesterday'", "at character 9", "'2024-05-01 18:30'"),
        ("mtime > date '20240501'", "at character 14", "a date was expected"),
        ("x > date '2024-13-01'", "at character 10", "a date was expected"),
        ("a = '\0'", "at character 6", "no NUL"),
        ("a.", "at its end", "a key was expected"),
    ],
)
def test_what_cannot_be_read(text: str, place: str, message: str) -> None:
    """The place, what was expected, and an example."""
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"the filter cannot be read {place}")
    assert message in str(caught.value)
    assert "An example: lang = 'en'" in str(caught.value)


def test_nothing_of_the_input_is_in_the_sql() -> None:
    """Names, texts, patterns and numbers are parameters."""
    filter = parse(
        "\"zz'q\".kk = 'tt' and zz in ('uu', 77) and title like 'vv%' and not zz > 88.5"
        " and size between 66 and 67 and zz != true"
    )
    for piece in ("zz", "kk", "tt", "uu", "vv", "77", "88", "66", "67"):
        assert piece not in filter.sql
    assert filter.sql.count("?") == len(filter.parameters)
    assert "zz'q" in filter.parameters


def test_what_the_index_cannot_hold_is_held_alike(tmp_path: Path, encoder: Any) -> None:
    """Lone surrogates, and NUL in metadata, become U+FFFD in the index, surrogates in filters."""
    given = {"k": "a\0b", "\ud800": "\udfff", "n": {"\0": ["\0"]}, "f": math.nan}
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([Document("caf\udce9", "", "text", given)])
    with Snapshot.open(tmp_path / "index") as snapshot:
        for text in (
            "k = 'a\ufffdb'",
            "id = 'caf\udce9'",
            "\"\ud800\" = '\udfff'",
            "n.\"\ufffd\" = '\ufffd'",
            "f is null",
        ):
            assert len(snapshot.matching(parse(text))) == 1, text


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        " and ".join(f"k <= {n}" for n in range(1, 2001)),
        " or ".join(f"k = {n}" for n in range(2000, 0, -1)),
        " or ".join(f"page = {n}" for n in range(2000)) + " or k = 1",
        f"k in ({', '.join(map(str, range(5000)))})",
        f"id in ({', '.join(quoted(f'd{n}') for n in range(5000))})",
        "not " * 2001 + "k = 2",
        "(" * 32 + "k = 1" + ")" * 32,
    ],
    ids=range(7),
)
def test_long_filters(table: Table, text: str) -> None:
    table.fill([{"metadata": {"k": 1}}])
    assert table.matching(text) == [1]


def nested(depth: int, others: int) -> str:
    text = "k = 1"
    for level in range(depth):
        word = (" and ", " or ")[level % 2]
        text = f"({word.join([f'k = {level}'] * others + [text])})"
    return text


def full(depth: int) -> str:
    word = (" and ", " or ")[depth % 2]
    return f"({full(depth - 1)}{word}{full(depth - 1)})" if depth else "a.b.c between 1 and 2"


@pytest.mark.parametrize(
    "text", [nested(32, 1), nested(32, 19), nested(4, 200), full(9)], ids=range(4)
)
def test_nested_filters(table: Table, text: str) -> None:
    """As deep as the parser lets through, SQLite's stack and depth take it."""
    table.fill([{"metadata": {"k": 1}}])
    table.matching(text)


def test_more_than_sqlite_takes(table: Table) -> None:
    """Is said so, and is no damage."""
    with Snapshot.open(table.path) as snapshot:
        snapshot._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 100)
        with pytest.raises(UsageError, match=r"too many SQL variables.*Make it shorter"):
            snapshot.matching(parse(" or ".join(f"k{n} = 1" for n in range(100))))


def test_metadata_that_are_no_json_are_damage(table: Table) -> None:
    """And no fault of the filter."""
    table.fill([{}])
    table.writer.execute("UPDATE documents SET metadata = '{'")
    with pytest.raises(IndexDamaged, match="malformed JSON"):
        table.matching("k = 1")
