"""An index -> a new folder of files that other programs read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..destination import new_folder
from ..types import Filter
from .formats import module
from .outgoing import outgoing
from .records import Outgoing


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How much was written: documents, passages, and bytes on disk."""

    documents: int
    passages: int
    bytes: int


@dataclass(slots=True)
class _Counted:
    """Outgoing documents, counted as they go."""

    given: Iterable[Outgoing]
    documents: int = 0
    passages: int = 0

    def __iter__(self) -> Iterator[Outgoing]:
        for one in self.given:
            self.documents += 1
            self.passages += len(one.passages)
            yield one


def export(
    index: str | Path, destination: str | Path, format: str, condition: Filter | None = None
) -> ExportReport:
    """Write the documents, passages and vectors of one commit to a new folder.

    `format` is `parquet`, `jsonl` or `beir`. With a condition (of `clsearch.search.filters.parse`):
    the documents of which a passage passes. Others may write to the index meanwhile, little is in
    memory at a time, and the same index gives the same files. Failed or killed, there is nothing
    at `destination`.

    Raises `UsageError` for another format, a missing extra, or where there is something at
    `destination`; `IndexUnwritable`, and as `Snapshot.open` does.
    """
    write = module(format).write
    with (
        outgoing(Path(index), format, condition) as (origin, records),
        new_folder(Path(destination)) as folder,
    ):
        counted = _Counted(records)
        write(folder, counted, origin)
        origin.write(folder, counted.documents, counted.passages)
        size = sum(file.stat().st_size for file in folder.iterdir())
    return ExportReport(counted.documents, counted.passages, size)
