"""An index with all that a document can have."""

from pathlib import Path

import pytest

from clsearch.index import Index
from words_encoder import WordsEncoder

GUIDE = """\
---
lang: en
---
# Guide

How to open the box, in a few words.

## Tools

{}

## Box

A box has six sides and a lid. Mind the edges.
"""


@pytest.fixture
def index(tmp_path: Path, encoder: WordsEncoder) -> Path:
    """Files and added documents, changed and removed ones, and none with a vector too few."""
    path = tmp_path / "home" / "index"
    notes = tmp_path / "home" / "notes"
    notes.mkdir(parents=True)
    tools = " ".join(f"Tool {n} is for screw {n}." for n in range(60))
    (notes / "guide.md").write_text(GUIDE.format(tools))
    (notes / "plain.txt").write_text("Lines\u2028that\x85part\x0bodd\r\nand \U0001f9f0 “ends”.\n")
    (notes / "records.jsonl").write_text('{"id": "a", "text": "a record of iron", "n": [1, {}]}\n')
    with Index.open(path, encoder=encoder) as opened:
        opened.sync([notes])
        opened.add(
            [
                {"id": "gone", "text": "amber"},
                {"id": "title alone", "title": "Copper", "text": ""},
                {"id": "nothing", "text": " \n"},
                {"id": "id/with \"quotes\" and 'more'", "text": "flint", "metadata": {"é": None}},
                {"id": "twice", "text": "flint"},
            ]
        )
        opened.remove(["gone"])
        opened.add([{"id": "twice", "text": "flint and steel", "metadata": {"lang": "en"}}])
    encoder.encoded.clear()
    return path
