"""JSON Lines: a document a line, with its passages and their vectors."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..readers.records import values_of
from ..types import Document, Json
from .numbers import array_text
from .origin import Origin
from .records import (
    Incoming,
    Outgoing,
    OutgoingPassage,
    Vector,
    bad,
    outline_json,
    read_document,
    read_mtime,
    read_vector,
)

DOCUMENTS = "documents.jsonl"
MENDED = "mend the line or take it out, and import again"
LONGEST = 1 << 30  # bytes of a line: a document of 30 million characters, with all its vectors


def write(folder: Path, outgoing: Iterable[Outgoing], origin: Origin) -> None:
    """`documents.jsonl`: `id`, what `document_values` has, and `passages`."""
    with (folder / DOCUMENTS).open("w", encoding="utf-8") as file:
        for one in outgoing:
            head = json.dumps({"id": one.document.id, **document_values(one)}, ensure_ascii=False)
            passages = ", ".join(passage_text(passage, {}) for passage in one.passages)
            file.write(f'{head[:-1]}, "passages": [{passages}]}}\n')


def document_values(one: Outgoing) -> dict[str, Json]:
    """A document but for its id, as JSON."""
    document = one.document
    return {
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "outline": outline_json(document),
        "mtime": one.mtime,
    }


def passage_text(one: OutgoingPassage, more: dict[str, Json]) -> str:
    """A passage as a JSON object, with its vector last."""
    passage = one.passage
    values = {
        "id": passage.id,
        **more,
        "start": passage.start,
        "end": passage.end,
        "line": passage.line,
        "page": passage.page,
        "heading": passage.heading,
        "text": passage.text,
        "hash": one.hash,
    }
    vector = "null" if one.vector is None else array_text(one.vector)
    return f'{json.dumps(values, ensure_ascii=False)[:-1]}, "vector": {vector}}}'


def read(file: Path, origin: Origin | None, fingerprint: str) -> Iterator[Incoming]:
    """The documents of a file, with those vectors that are of this fingerprint.

    Without an origin, the records of others. Raises `UsageError` at the first line that is none.
    """
    for number, where, record in records(file):
        if origin is None:
            yield foreign(file, number, where, record)
            continue
        document = document_of(where, record, "id")
        passages = record.get("passages")
        if not isinstance(passages, list):
            raise bad(where, "passages", passages, "a list")
        vectors = {}
        if origin.fingerprint == fingerprint:
            vectors = vectors_of(where, passages, origin.dimension)
        yield Incoming(where, document, read_mtime(where, record.get("mtime")), vectors)


def records(file: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(line number from 1, the place for messages, the object) of each line that is not blank."""
    try:
        opened = file.open("rb")
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error.strerror}; export again") from error
    with opened as lines:
        number = 0
        while line := lines.readline(LONGEST + 1):
            number += 1
            where = f"{file}, line {number}"
            if len(line) > LONGEST:
                raise UsageError(f"{where}: it is longer than {LONGEST:,} bytes; split it")
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{where}: not JSON: {error}; {MENDED}") from error
            if not isinstance(record, dict):
                raise UsageError(f"{where}: not a JSON object: {line[:60]!r}; {MENDED}")
            yield number, where, record


def document_of(where: str, record: dict[str, Any], id_key: str) -> Document:
    """The document of a line that an export has written."""
    return read_document(
        where,
        record.get(id_key),
        record.get("title"),
        record.get("text"),
        record.get("metadata"),
        record.get("outline"),
    )


def vectors_of(where: str, passages: list[Any], dimension: int) -> dict[str, Vector]:
    """Hash -> vector, of those passages that have one."""
    found = {}
    for place, passage in enumerate(passages):
        here = f"{where}, passage {place}"
        if not isinstance(passage, dict):
            raise UsageError(f"{here}: not an object: {passage!r:.60}")
        hash, vector = passage.get("hash"), passage.get("vector")
        if not isinstance(hash, str):
            raise bad(here, "hash", hash, "text")
        if vector is not None:
            found[hash] = read_vector(here, vector, dimension)
    return found


def foreign(file: Path, number: int, where: str, record: dict[str, Any]) -> Incoming:
    """A document of a record that others have written, by the names that a reader knows."""
    try:
        id, title, text, metadata = values_of(record)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
    if not text.strip() and not title:
        raise UsageError(f"{where}: there is no text in it; take it out")
    return Incoming(where, Document(id or f"{file.name}#{number}", title, text, metadata), None, {})
