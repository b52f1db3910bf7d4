"""JSON Lines and tables: records with ids, titles, texts, metadata; what is broken is named."""

import json
from io import BytesIO
from typing import Any

import pytest

from clsearch.index.readers import jsonl, tables
from clsearch.index.types import Document, Skipped


def of_lines(text: str | bytes) -> list[Document | Skipped]:
    """What a JSON Lines file holds."""
    return list(jsonl.read(BytesIO(text if isinstance(text, bytes) else text.encode()), "c.jsonl"))


def of_table(text: str | bytes) -> list[Document | Skipped]:
    """What a table holds."""
    return list(tables.read(BytesIO(text if isinstance(text, bytes) else text.encode()), "c.csv"))


def record(**values: Any) -> Document:
    """The document of one JSON object."""
    (found,) = of_lines(json.dumps(values))
    assert isinstance(found, Document)
    return found


def test_beir() -> None:
    """A line of `corpus.jsonl` as it is."""
    line = '{"_id": "4983", "title": "A title", "text": "One.\\nTwo.", "metadata": {"url": "u"}}\n'
    assert of_lines(line) == [
        Document("c.jsonl#4983", "A title", "One.\nTwo.", {"url": "u"}, line=1, lined=False)
    ]


def test_names() -> None:
    """Which names are taken for id, title and text, and what becomes of the rest."""
    assert record(id=7, contents="c").id == "c.jsonl#7"
    assert record(id=7, contents="c").text == "c"
    assert record(text="", contents="c").text == "c"
    assert record(text="t", body="b").metadata == {"body": "b"}
    assert record(Text="t", Title="T").title == "T"
    assert record(text="t").id == "c.jsonl#1"
    assert record(_id=0, text="t").id == "c.jsonl#0"
    assert (record(id=True, text="t").id, record(id=True, text="t").metadata) == (
        "c.jsonl#1",
        {"id": True},
    )
    nested = record(text="t", tags=["a", {"b": None}], n=10**30)
    assert nested.metadata == {"tags": ["a", {"b": None}], "n": 10**30}
    assert record(id="x", title="T", a=1, b={"c": [2]}).text == 'a: 1\nb: {"c": [2]}'


def test_what_is_broken_is_named_with_its_line_and_the_rest_is_read() -> None:
    """No JSON, no object, an id twice, too deep, a number too long."""
    found = of_lines(
        '{"_id": "1", "text": "a"}\n'
        '{"_id": "2", "text": \n'
        "\n"
        "[1, 2]\n"
        '{"_id": "1", "text": "again"}\n' + "[" * 100_000 + "\n"
        f'{{"text": "n", "n": {"9" * 5000}}}\n'
        '{"_id": "3", "text": "b"}'
    )
    assert [d.id for d in found if isinstance(d, Document)] == ["c.jsonl#1", "c.jsonl#3"]
    skipped = [s for s in found if isinstance(s, Skipped)]
    assert [s.name for s in skipped] == [f"c.jsonl:{line}" for line in (2, 4, 5, 6, 7)]
    assert "not JSON" in skipped[0].reason
    assert "[1, 2]" in skipped[1].reason
    assert "taken by line 1" in skipped[2].reason


def test_values_that_no_database_holds() -> None:
    """Lone surrogates, NUL and NaN; a pair of surrogates is a character."""
    (found,) = of_lines(r'{"_id": "\ud800", "text": "a\u0000\udfff", "n": NaN, "\ud801": "\ud802"}')
    assert found == Document(
        "c.jsonl#\ufffd",
        "",
        "a\ufffd\ufffd",
        {"n": None, "\ufffd": "\ufffd"},
        lined=False,
    )
    (pair,) = of_lines(r'{"text": "\ud83d\ude00"}')
    assert isinstance(pair, Document)
    assert pair.text == "😀"


def test_utf_16_lines() -> None:
    """A mark at the start, two bytes a character."""
    text = '{"_id": "a", "text": "Grüße"}\n{"_id": "b", "text": "ž"}\n'
    for encoding in ("utf-16", "utf-8-sig"):
        found = of_lines(text.encode(encoding))
        assert [d.text for d in found if isinstance(d, Document)] == ["Grüße", "ž"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table(delimiter: str) -> None:
    """Each delimiter; quoted quotes and line ends; the line that a row starts at."""
    rows = [
        ["id", "title", "text", "lang"],
        ["1", "One", '"quoted ""words""\nand lines"', "en"],
        ["2", "Two", "plain", ""],
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    assert of_table(text) == [
        Document(
            "c.csv#1", "One", 'quoted "words"\nand lines', {"lang": "en"}, line=2, lined=False
        ),
        Document("c.csv#2", "Two", "plain", {"lang": ""}, line=4, lined=False),
    ]


def test_a_table_without_a_text() -> None:
    """All values are the text; none hides another."""
    found = of_table("name,age,,age\nAda,36,x,y,z\n\nGrace,,,\n")
    assert found == [
        Document(
            "c.csv#2",
            "",
            "name: Ada\nage: 36\ncolumn 3: x\nage 4: y\ncolumn 5: z",
            {"name": "Ada", "age": "36", "column 3": "x", "age 4": "y", "column 5": "z"},
            line=2,
            lined=False,
        ),
        Document(
            "c.csv#4",
            "",
            "name: Grace",
            {"name": "Grace", "age": "", "column 3": "", "age 4": ""},
            line=4,
            lined=False,
        ),
    ]


def test_a_large_value() -> None:
    """Larger than the csv module takes by itself."""
    large = "word " * 100_000
    (found,) = of_table(f"id,text\n1,{large}\n")
    assert isinstance(found, Document)
    assert found.text == large
