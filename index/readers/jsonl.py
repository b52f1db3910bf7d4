"""JSON Lines: one record a line, as BEIR's `corpus.jsonl` has them."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from ..types import Document, Skipped
from .decoding import HEAD, decode
from .records import TEXTS, Record, documents

SUFFIXES = (".jsonl", ".ndjson", ".jsonlines")


def recognises(head: bytes) -> bool:
    """Whether the first line is an object that has a text."""
    try:
        record = json.loads(head.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and not record.keys().isdisjoint(TEXTS)


def read(file: BinaryIO, document_id: str) -> Iterator[Document | Skipped]:
    """Yield a document for each line; the file is never in memory whole."""
    return documents(_records(file), document_id)


def _records(file: BinaryIO) -> Iterator[Record]:
    for number, line in enumerate(_lines(file), 1):
        if line.strip():
            yield number, _parsed(line)


def _lines(file: BinaryIO) -> Iterator[str]:
    head = file.read(HEAD)
    file.seek(0)
    if b"\0" in head:  # UTF-16 or UTF-32, whose lines do not end with the byte of a line end
        yield from decode(file.read()).split("\n")
    else:
        yield from (decode(line) for line in file)


def _parsed(line: str) -> dict[str, Any] | str:
    try:
        record = json.loads(line, strict=False)
    except json.JSONDecodeError as error:
        return f"it is not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"it is not JSON that can be read: {error}"
    if not isinstance(record, dict):
        return f"it is no JSON object but {json.dumps(record)[:40]}"
    return record
