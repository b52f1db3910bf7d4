"""Where the documents of a collection come from: a BEIR folder, or an index that is there."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...index.config import Options
from ...index.files import DATABASE
from ...index.store.snapshot import Snapshot
from ...index.types import Document, Json
from . import beir

# A file that changed so recently may change again without a new mtime, by the clock's grain.
SETTLED_NS = 2_000_000_000
# So many documents are read from an index in one transaction: a writer's commit waits for its end.
READ_AT_ONCE = 500


class Corpus(Protocol):
    """Documents that can be indexed with a model of choice."""

    @property
    def path(self) -> Path:
        """What they are read from."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def count(self) -> int:
        """How many there are, about: to tell how far a run is."""

    def stamp(self) -> dict[str, Json] | None:
        """Other whenever the documents are; None where that cannot be told yet."""

    def documents(self) -> Iterator[Document]:
        """All of them, in order."""


@dataclass(frozen=True, slots=True)
class BeirCorpus:
    """`corpus.jsonl` of a BEIR folder."""

    path: Path

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.path.resolve().name

    def count(self) -> int:
        """Its lines."""
        with (self.path / beir.CORPUS).open("rb") as file:
            return sum(1 for _ in file)

    def stamp(self) -> dict[str, Json] | None:
        """Size and mtime; None while the last change is younger than the clock's grain."""
        status = os.stat(self.path / beir.CORPUS)
        if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
            return None
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}

    def documents(self) -> Iterator[Document]:
        """As they stand there."""
        return beir.read_corpus(self.path)


@dataclass(frozen=True, slots=True)
class IndexCorpus:
    """The documents of an index."""

    path: Path

    @property
    def name(self) -> str:
        """With that of the folder that holds it: most indexes are called the same."""
        return "/".join(self.path.resolve().parts[-2:])

    def count(self) -> int:
        """How many it holds."""
        with Snapshot.open(self.path) as snapshot:
            return snapshot.counts().documents

    def ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        with Snapshot.open(self.path) as snapshot:
            return snapshot.document_ids()

    def options(self) -> Options:
        """What it was made with."""
        with Snapshot.open(self.path) as snapshot:
            return snapshot.options

    def stamp(self) -> dict[str, Json] | None:
        """Its generation, which grows with each commit, and which file that is."""
        with Snapshot.open(self.path) as snapshot:
            generation = snapshot.generation
        return {"generation": generation, "inode": os.stat(self.path / DATABASE).st_ino}

    def documents(self) -> Iterator[Document]:
        """As they were read; one that leaves the index meanwhile is left out."""
        ids = self.ids()
        for start in range(0, len(ids), READ_AT_ONCE):
            with Snapshot.open(self.path) as snapshot:
                found = [snapshot.document(id) for id in ids[start : start + READ_AT_ONCE]]
            yield from (document for document in found if document is not None)
