"""A record of named values -> a document: which names are its id, its title, its text."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..types import Document, Json, Skipped
from .metadata import clean, plain

IDS = ("_id", "id", "docid", "doc_id")
TITLES = ("title",)
TEXTS = ("text", "contents", "content", "body")

# The line that a record starts at, and its values or the reason why there are none.
Record = tuple[int, Mapping[str, Any] | str]


def documents(records: Iterable[Record], file_id: str) -> Iterator[Document | Skipped]:
    """Yield a document for each record, with the id `file_id#record`; what is not id, title or text
    is metadata.

    A record without an id has its line for one; one without a text has all its values as text, as
    lines of `name: value`. Of records with the same id the first counts, and each later one is
    skipped by name, as is one that cannot be read.
    """
    first_lines: dict[str, int] = {}
    for line, record in records:
        try:
            if isinstance(record, str):
                raise ValueError(record)
            document = _document(record, file_id, line)
            first = first_lines.setdefault(document.id, line)
            if first != line:
                raise ValueError(f"the id {document.id} is taken by line {first}")
            yield document
        except ValueError as error:
            yield Skipped(f"{file_id}:{line}", str(error))


def _document(record: Mapping[str, Any], file_id: str, line: int) -> Document:
    id, title, text, metadata = values_of(record)
    return Document(f"{file_id}#{id or line}", title, text, metadata, line=line, lined=False)


def values_of(record: Mapping[str, Any]) -> tuple[str, str, str, dict[str, Json]]:
    """(id, title, text, metadata) of a record; the id is empty where it has none.

    Raises ValueError where a value is nested too deep.
    """
    values = {clean(str(name)): value for name, value in record.items()}
    identity = _take(values, IDS, (str, int))
    title = _take(values, TITLES, (str,))
    text = _take(values, TEXTS, (str,))
    # What clsearch itself takes as a record has its metadata in one value of that name.
    nested = values.get("metadata")
    if isinstance(nested, Mapping):
        values = {**nested, **{name: values[name] for name in values if name != "metadata"}}
    metadata = {name: plain(value) for name, value in values.items()}
    if text is None:
        text = "\n".join(f"{name}: {_shown(value)}" for name, value in metadata.items() if value)
    id = "" if identity is None else clean(str(identity)).strip()
    return id, clean(" ".join((title or "").split())), clean(text), metadata


def _take(values: dict[str, Any], names: tuple[str, ...], types: tuple[type, ...]) -> Any:
    """Remove and return the value of the first of `names` that is of one of `types`, else None.

    A blank one is taken only where no other is there.
    """
    by_name = {name.strip().casefold(): name for name in reversed(values)}
    found = [
        name
        for name in (by_name.get(name) for name in names)
        if name is not None
        and isinstance(values[name], types)
        and not isinstance(values[name], bool)
    ]
    filled = [name for name in found if str(values[name]).strip()]
    return values.pop((filled or found)[0]) if found else None


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
