"""The words that every part shares: document, passage, heading, skipped, filter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: the text from `start` on stands below it.

    `start` is a code point offset into the document's text, `level` counts from 1.
    """

    start: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One file, or one record of a JSONL or CSV file.

    `text` is what was read, decoded but not normalised: every offset counts its code points.
    `pages` holds the offset at which each page starts, `line` the number of the text's first line
    in its file (1 where the text is no part of a file). `lined` says that the text's lines are
    lines of that file, to be counted from `line`; where it is False (a JSONL record, an HTML page),
    all of the text stands at `line`.
    """

    id: str
    title: str
    text: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    line: int = 1
    lined: bool = True


@dataclass(frozen=True, slots=True)
class Passage:
    """A contiguous span of a document: `document.text[start:end] == text`, always.

    `heading` is the path of headings above it, joined by " > ", and empty where there is none.
    `line` and `page` count from 1. `id` is given by the store, and never used twice.
    """

    start: int
    end: int
    text: str
    line: int
    page: int | None = None
    heading: str = ""
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was met and not taken in: a folder, a file or a record, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """What the manifest says of one segment: an immutable FAISS file, `vectors/NAME.faiss`.

    `passages` counts the vectors in the file (those of deleted passages, too), `bytes` and
    `sha256` are of the whole file, `faiss` is the version that wrote it.
    """

    name: str
    kind: str
    passages: int
    dimension: int
    bytes: int
    sha256: str
    faiss: str
    fingerprint: str
    state: str = "live"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which passages may answer: a boolean SQL expression, with `?` for each of its parameters.

    Its tables are those of docs/index-format.md, `d` for documents and `p` for passages.
    """

    sql: str
    parameters: tuple[str | int | float, ...] = ()
