"""CSV and TSV: one record a row, its values named by the first row."""

import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from ..types import Document, Skipped
from .decoding import decode
from .records import Record, documents

SUFFIXES = (".csv", ".tsv", ".tab", ".psv")

DELIMITERS = ",;\t|"
QUOTED = re.compile(r'"[^"]*"')
LARGEST_VALUE = 2**31 - 1  # code points; the csv module's own limit is 131,072


def read(file: BinaryIO, document_id: str) -> Iterator[Document | Skipped]:
    """Yield a document for each row but the first, whose line is the one that the row starts at."""
    return documents(_records(decode(file.read())), document_id)


def _records(text: str) -> Iterator[Record]:
    csv.field_size_limit(LARGEST_VALUE)
    # A lone CR ends no row where LF does, and the csv module refuses it.
    rows = csv.reader(io.StringIO(text.replace("\r", " ")), delimiter=_delimiter(text))
    names: list[str] = []
    line = 1
    for row in rows:
        if not names:
            names = _unique(row)
        elif any(value.strip() for value in row):
            names += [f"column {number}" for number in range(len(names) + 1, len(row) + 1)]
            yield line, dict(zip(names, row, strict=False))
        line = rows.line_num + 1


def _delimiter(text: str) -> str:
    """The one that the first line has most of, outside quotes."""
    first = QUOTED.sub("", text.lstrip("\n").split("\n", 1)[0])
    return max(DELIMITERS, key=first.count)


def _unique(header: list[str]) -> list[str]:
    """The names of the columns, each once, so that no value hides another."""
    names: list[str] = []
    for number, name in enumerate(header, 1):
        stripped = name.strip()
        taken = not stripped or stripped in names
        names.append(f"{stripped or 'column'} {number}" if taken else stripped)
    return names
