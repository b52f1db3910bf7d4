"""Which of the ranked passages are shown: none twice, and each document once where asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..index.store.snapshot import StoredPassage
from .ranking import Ranked

Group = Literal["passage", "document"]
Shingles = frozenset[tuple[str, ...]]

SHINGLE = 3  # terms
# Passages with so large a share of their shingles in common say the same.
SAME = 0.8

# So many further passages of a document are shown below its best.
FURTHER = 2


@dataclass(slots=True)
class Shown:
    """A passage that is shown, what is shown below it, and the documents that say the same."""

    best: Ranked
    document: str
    said: list[Shingles]
    more: list[Ranked] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


def shown(
    rank: Callable[[int], list[Ranked]],
    fetch: Callable[[Sequence[Ranked]], Mapping[int, StoredPassage]],
    documents: Callable[[Sequence[Ranked]], Mapping[int, str]],
    k: int,
    group: Group,
) -> list[Shown]:
    """The first `k` passages, or documents by their best passage, that differ from each other.

    `rank` gives the best passages to a depth, and is asked deeper until there are `k`, or no more
    come; `fetch` gives what is stored of them, `documents` only whose they are. Near-identical ones
    collapse into the best of them: those with a Jaccard coefficient of their three-term shingles of
    at least `SAME` (Broder: On the resemblance and containment of documents, 1997); of a document
    without text the title counts. By documents, a passage that differs stands below its document's
    best, FURTHER of them at most, as far as they are among the best three for each document asked
    for; a document whose best passage collapses is named as a duplicate, and not shown.
    """
    asked = depth = k if group == "passage" else k * (1 + FURTHER)
    while True:
        ranked = read = rank(depth)
        if group == "document" and len(ranked) > asked:
            read = _best_of_others(ranked, documents(ranked), asked)
        chosen = _collapsed(read, fetch(read), group)
        if len(chosen) >= k or len(ranked) < depth:
            return chosen[:k]
        depth *= 2


def _best_of_others(
    ranked: Sequence[Ranked], document_of: Mapping[int, str], asked: int
) -> list[Ranked]:
    """The first `asked`, and after them the best passage of each document not among those.

    The thousandth passage of a book is looked up, to find the document after it, and not read.
    """
    read = list(ranked[:asked])
    seen = {document_of[one.passage] for one in read}
    for one in ranked[asked:]:
        if document_of[one.passage] not in seen:
            seen.add(document_of[one.passage])
            read.append(one)
    return read


def _collapsed(
    ranked: Sequence[Ranked], stored: Mapping[int, StoredPassage], group: Group
) -> list[Shown]:
    chosen: list[Shown] = []
    of_document: dict[str, Shown] = {}
    said: set[tuple[str, ...]] = set()  # the shingles of all that are chosen
    for one in ranked:
        document = stored[one.passage].document
        own = _shingles(stored[one.passage])
        known = of_document.get(document) if group == "document" else None
        if known is None:
            if len(own & said) >= SAME * len(own):  # else it is like none of them
                known = next((other for other in chosen if _alike(own, other.said[0])), None)
            if known is None:
                known = Shown(one, document, [own])
                said |= own
                chosen.append(known)
            elif document not in (known.document, *known.duplicates):
                known.duplicates.append(document)
            of_document[document] = known
        elif (
            document == known.document
            and len(known.more) < FURTHER
            and not any(_alike(own, other) for other in known.said)
        ):
            known.more.append(one)
            known.said.append(own)
    return chosen


def _shingles(of: StoredPassage) -> Shingles:
    terms = of.terms.split() or [of.passage.text.strip() or of.title]
    runs = zip(*(terms[start:] for start in range(SHINGLE)), strict=False)
    return frozenset(runs) or frozenset([tuple(terms)])


def _alike(first: Shingles, second: Shingles) -> bool:
    shared = len(first & second)
    return shared >= SAME * (len(first) + len(second) - shared)
