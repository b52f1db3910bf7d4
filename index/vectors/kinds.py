"""The kinds of segment, and the one place that chooses among them.

Every kind holds the float16 vectors that all scores come from. A kind that is not exact holds a
structure beside them, which names candidates: docs/vectors.md.
"""

from dataclasses import dataclass, replace
from typing import Literal

import faiss

Name = Literal["exact", "compact", "fast"]
FLAT_FP16 = "flat-fp16"
IVF_RABITQ = "ivf-rabitq"
HNSW_INT8 = "hnsw-int8"
# Of an earlier version: all its vectors are compared, until `optimize` makes the new structure.
HNSW_FP16 = "hnsw-fp16"
FAISS_VERSION: str = faiss.__version__

NAMES: dict[Name, str] = {"exact": FLAT_FP16, "compact": IVF_RABITQ, "fast": HNSW_INT8}

# From so many passages on, `optimize` makes a compact segment: to scan so many flat vectors costs
# about as much as a search in a compact segment of any size up to a million (docs/vectors.md). For
# the same reason it takes in the flat ones beside a compact or fast one when they are more, or more
# than this share of all.
COMPACT_FROM = 20_000
TAIL_SHARE = 1 / 20
# recall@10 that the parameters are tuned to, where no other is asked for: of up to SMALL passages,
# where it costs little, and of more.
SMALL = 200_000
RECALLS = (0.99, 0.98)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a segment is searched; the manifest has it as text: `ivf-rabitq effort=16 refine=20`.

    `effort` is how far the structure is searched: nprobe of inverted lists, efSearch of a graph.
    `refine` candidates for each of the ten best are compared by their float16 vectors.
    """

    structure: str
    effort: int = 0
    refine: int = 1

    @classmethod
    def parse(cls, text: str) -> "Kind":
        """Of the manifest's text. Raises `ValueError` for a kind that this version does not know.

        >>> Kind.parse("ivf-rabitq effort=16 refine=20").effort
        16
        """
        structure, *pairs = text.split()
        values = dict(pair.split("=") for pair in pairs)
        if structure not in FIRST or not values.keys() <= {"effort", "refine"}:
            raise ValueError(f"no such kind of segment: {text!r}")
        return cls(structure, **{name: int(value) for name, value in values.items()})

    @property
    def renewed(self) -> str:
        """The structure that `optimize` makes where this one is to be kept."""
        return HNSW_INT8 if self.structure == HNSW_FP16 else self.structure

    @property
    def exact(self) -> bool:
        """Whether every search compares with all vectors."""
        return self.structure in (FLAT_FP16, HNSW_FP16)

    def __str__(self) -> str:
        """As the manifest has it."""
        if self.structure == FLAT_FP16:
            return self.structure
        return f"{self.structure} {self.parameters}"

    @property
    def parameters(self) -> str:
        """What is tuned: `effort=16 refine=20`."""
        return f"effort={self.effort} refine={self.refine}"

    def at(self, effort: int, refine: int) -> "Kind":
        """The same structure, searched otherwise."""
        return replace(self, effort=effort, refine=refine)


# Before they are tuned: all kinds that a manifest may have.
FIRST = {
    FLAT_FP16: Kind(FLAT_FP16),
    IVF_RABITQ: Kind(IVF_RABITQ, 16, 20),
    HNSW_INT8: Kind(HNSW_INT8, 64, 5),
    HNSW_FP16: Kind(HNSW_FP16, 64, 1),
}


def choose(passages: int) -> str:
    """The kind of a new segment of so many passages: flat and exact, whatever the size.

    It is made in one pass, and most are merged soon; `optimize` makes the other kinds.
    """
    return FLAT_FP16


def best(passages: int) -> str:
    """The kind that `optimize` makes of so many passages where none is asked for."""
    return IVF_RABITQ if passages >= COMPACT_FROM else FLAT_FP16


def is_small_tail(rest: int, passages: int) -> bool:
    """Whether so many deleted and flat ones of all passages may stay beside a structure."""
    return rest <= min(TAIL_SHARE * passages, COMPACT_FROM)


def default_recall(passages: int) -> float:
    """The recall@10 that `optimize` tunes to where none is asked for."""
    return RECALLS[passages > SMALL]


def name_of(kind: str) -> Name:
    """What a user calls the kind that a manifest has: `exact`, `compact` or `fast`."""
    structure = Kind.parse(kind).renewed
    return next(name for name, known in NAMES.items() if known == structure)
