"""What a run tells: how far it is, what became of a document, and what it changed in all."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from .types import Skipped


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `total` counts the files that were found; None where nobody can know."""

    files: int
    total: int | None
    documents: int
    passages: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a run changed.

    The first four count documents. `encoded` counts passages that went through the encoder,
    `reused` those of new and changed documents that did not, since their vector was there.
    `ignored` counts files of a kind that holds no text. `recovered` says what was found when the
    index was opened.
    """

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    ignored: int = 0
    skipped: tuple[Skipped, ...] = ()
    recovered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Put:
    """What became of one document. `encoded` and `reused` count its passages, as in `SyncReport`.

    `key` is that of its row.
    """

    document: str
    result: Literal["created", "updated", "unchanged"]
    encoded: int
    reused: int
    key: int


@dataclass(slots=True)
class Tally:
    """The counts of a `SyncReport` while they grow."""

    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    ignored: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def report(self, recovered: tuple[str, ...]) -> SyncReport:
        """The counts, final."""
        counts = asdict(self) | {"skipped": tuple(self.skipped)}
        return SyncReport(**counts, recovered=recovered)
