"""The rows of sources, documents and passages, as the write side reads them back."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from ..types import Document, Passage

NO_TEXT = "holds no text"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A file that was read. `root` is the id of the source that the user named.

    `mtime_ns` is None until the file has settled: it is hashed again next time. `hash` is None
    while not all of the file is in the index (it is read again next time), and `NO_TEXT` for a file
    of a kind that holds none.
    """

    id: int
    name: str
    root: str
    mtime_ns: int | None
    size: int
    hash: str | None


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What sync compares a document by."""

    key: int
    source: int | None
    hash: str


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage without its text. `segment` is None while it waits for a vector."""

    id: int
    start: int
    end: int
    line: int
    page: int | None
    heading: str
    hash: str
    segment: int | None


class NewDocument(NamedTuple):
    """A document as it is written. `mtime` in seconds, of its file."""

    key: int
    source: int | None
    mtime: float | None
    document: Document


class NewPassage(NamedTuple):
    """A passage that comes, with its document's key and title.

    `segment` has its vector; None while it waits for one.
    """

    id: int
    key: int
    title: str
    passage: Passage
    hash: str
    segment: int | None


def outline(document: Document) -> str:
    """What is known of the text's shape beside the text, as JSON."""
    return json.dumps(
        {
            "headings": [[h.start, h.level, h.text] for h in document.headings],
            "pages": list(document.pages),
            "line": document.line,
            "lined": document.lined,
        },
        ensure_ascii=False,
    )
