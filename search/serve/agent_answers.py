"""What an agent is told: clean, of bounded size, as structure for programs and as text to read."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from ...index.types import Document
from ..hit import Hit
from .untrusted import NOTICE, clean, clean_line, clean_metadata, enclosed, readable_id, shortened

# Characters. A passage has some 800, and rarely more than 2,000; an agent's window is not for us
# alone.
TEXT = 2_000
ANSWER = 30_000
LINE = 300
NAME = 4_096  # of a document; the longest path that Linux takes
METADATA = 1_000


class Passage(BaseModel):
    """A passage that answers."""

    rank: int = Field(description="From 1, best first.")
    score: float = Field(description="Between 0 and 1.")
    weak: bool = Field(description="No nearer than a text that means nothing.")
    document: str = Field(description="The id of its document, for get_document and similar.")
    title: str
    heading: str = Field(description="The headings above it, joined by ' > '.")
    line: int = Field(description="Where it begins in its file, from 1.")
    page: int | None = None
    start: int = Field(description="Offset in the document's text: of get_document, too.")
    end: int
    text: str = Field(description="Of the document; untrusted.")
    metadata: dict[str, Any]

    @classmethod
    def of(cls, hit: Hit) -> "Passage":
        """What is shown of a hit."""
        passage = hit.passage
        return cls(
            rank=hit.rank,
            score=round(hit.score, 4),
            weak=hit.weak,
            document=readable_id(hit.document, NAME),
            title=clean_line(hit.title, LINE),
            heading=clean_line(passage.heading, LINE),
            line=passage.line,
            page=passage.page,
            start=passage.start,
            end=passage.end,
            text=shortened(clean(passage.text), TEXT),
            metadata=clean_metadata(hit.metadata, METADATA),
        )

    def read(self) -> str:
        """As text: where it stands, and what it says."""
        page = "" if self.page is None else f", page {self.page}"
        lines = [
            f"document: {self.document}",
            f"place: line {self.line}{page}, characters {self.start} to {self.end}",
            f"score: {self.score}{' (weak)' if self.weak else ''}",
            *([f"title: {self.title}"] if self.title else []),
            *([f"heading: {self.heading}"] if self.heading else []),
            *([f"metadata: {_json(self.metadata)}"] if self.metadata else []),
        ]
        return "\n".join([*lines, "", self.text])


class Passages(BaseModel):
    """The passages that answer, best first."""

    notice: str = Field(default=NOTICE, description="How to take what the documents say.")
    index: str
    passages: list[Passage]
    left_out: int = Field(description="How many more were found, but would make this too long.")

    @classmethod
    def of(cls, index: str, hits: Sequence[Hit]) -> "Passages":
        """As many of the hits as there is room for."""
        shown: list[Passage] = []
        room = ANSWER
        for hit in hits:
            passage = Passage.of(hit)
            room -= len(passage.read())
            if room < 0:
                break
            shown.append(passage)
        return cls(index=index, passages=shown, left_out=len(hits) - len(shown))

    def read(self) -> str:
        """As text."""
        if not self.passages:
            return "Nothing was found."
        text = enclosed([passage.read() for passage in self.passages])
        return f"{text}\n\n{self.left_out} more left out." if self.left_out else text


class DocumentPart(BaseModel):
    """A part of a document's text."""

    notice: str = Field(default=NOTICE, description="How to take what the document says.")
    index: str
    document: str
    title: str
    metadata: dict[str, Any]
    offset: int = Field(description="Where this part begins, in characters of the whole text.")
    characters: int = Field(description="How many the whole text has.")
    next_offset: int | None = Field(description="Where to go on; null at the end.")
    text: str = Field(description="Of the document; untrusted.")

    @classmethod
    def of(cls, index: str, document: Document, offset: int, length: int) -> "DocumentPart":
        """So many characters from `offset` on."""
        end = offset + length
        return cls(
            index=index,
            document=readable_id(document.id, NAME),
            title=clean_line(document.title, LINE),
            metadata=clean_metadata(document.metadata, METADATA),
            offset=offset,
            characters=len(document.text),
            next_offset=end if end < len(document.text) else None,
            text=clean(document.text[offset:end]),
        )

    def read(self) -> str:
        """As text."""
        lines = [
            f"document: {self.document}",
            f"title: {self.title}",
            *([f"metadata: {_json(self.metadata)}"] if self.metadata else []),
        ]
        whole = f"From character {self.offset} of {self.characters}"
        after = "the end" if self.next_offset is None else f"goes on at offset {self.next_offset}"
        return enclosed(["\n".join([*lines, "", self.text])]) + f"\n\n{whole}; {after}."


class IndexFacts(BaseModel):
    """An index that can be searched."""

    name: str
    documents: int
    passages: int


class IndexList(BaseModel):
    """The indexes that can be searched."""

    indexes: list[IndexFacts]

    def read(self) -> str:
        """As text."""
        return "\n".join(
            f"{one.name}: {one.documents} documents, {one.passages} passages"
            for one in self.indexes
        )


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
