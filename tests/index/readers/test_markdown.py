"""Markdown: front matter, headings, offsets."""

from io import BytesIO

import pytest

from clsearch.index.readers.markdown import read
from clsearch.index.types import Document, Heading

BODY = """\

# First *one* with `code` and [link](http://x)

Text.

```sh
# a comment, no heading
```

Second
words
======

> # quoted

- # in a list

### Third ###
"""
YAML = """\
---
title: "A title: with colon"
tags: [a, b]
date: 2024-02-29
number: 1.5
nothing: .nan
nested: {deep: {1: yes}}
---
"""


def document(text: str) -> Document:
    """The one document of what is given."""
    (found,) = read(BytesIO(text.encode()), "notes/a.md")
    return found


def test_front_matter_is_metadata_and_the_body_keeps_its_line() -> None:
    """Values that JSON lacks are written as it can; offsets count from the body."""
    found = document(YAML + BODY)
    assert found.text == BODY
    assert found.line == 9
    assert (YAML + BODY).split("\n")[found.line - 1 :] == BODY.split("\n")
    assert found.title == "A title: with colon"
    assert found.metadata == {
        "title": "A title: with colon",
        "tags": ["a", "b"],
        "date": "2024-02-29",
        "number": 1.5,
        "nothing": None,
        "nested": {"deep": {"1": True}},
    }


def test_toml_front_matter() -> None:
    """Between lines of `+++`."""
    found = document('+++\ntitle = "T"\ndraft = false\n+++\nBody\n')
    assert (found.title, found.text, found.line) == ("T", "Body\n", 5)
    assert found.metadata == {"title": "T", "draft": False}


def test_headings() -> None:
    """Both styles, without their markup; none in fences, quotations, lists."""
    found = document(BODY)
    assert found.title == "First one with code and link"
    assert found.headings == (
        Heading(BODY.index("# First"), 1, "First one with code and link"),
        Heading(BODY.index("Second"), 1, "Second words"),
        Heading(BODY.index("### Third"), 3, "Third"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "---\nnot: [closed\n---\nBody",
        "---\njust words\n---\nBody",
        "---\nno: end",
        "--- \nspace: after\n---\n",
        "---\na: &a [x]\nb: *a\n---\n",  # aliases, which could stand for any amount
        "---\nnumber: !!int ''\n---\n",
        "---\nwhen: 2024-13-45\n---\n",
        "+++\nno toml\n+++\n",
    ],
)
def test_what_is_no_front_matter_stays_text(text: str) -> None:
    """Nothing is lost to what does not parse."""
    found = document(text)
    assert (found.text, found.metadata, found.line) == (text, {}, 1)


def test_front_matter_alone() -> None:
    """A file may end with it."""
    found = document("---\ntitle: T\n---")
    assert (found.title, found.text) == ("T", "")


def test_a_form_feed_ends_no_line() -> None:
    """Only a line feed does, or offsets of headings would be off."""
    text = "a\x0cb\u2028c\n\n# Here\n"
    assert document(text).headings == (Heading(text.index("#"), 1, "Here"),)


def test_without_headings_the_file_names_it() -> None:
    """The name is the last resort."""
    assert document("words").title == "a.md"


def test_a_paragraph_above_a_rule_is_no_heading() -> None:
    """Or it would be the title of all the rest."""
    text = "word " * 30 + "\n---\nmore\n"
    found = document(text)
    assert (found.title, found.headings) == ("a.md", ())


def test_a_wiki_named_as_markdown() -> None:
    """Its headings count where Markdown finds none."""
    assert document("= T =\n\n== B ==\n").title == "T"
    assert document("= T =\n\n# B\n").title == "B"
