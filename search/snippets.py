"""What of a passage answers: the words that match, and the sentence that says it."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..index import analysis
from .fusion import fuse

Span = tuple[int, int]

# A sentence ends at a full stop before white space and what is no small letter, where a paragraph
# or a list's item ends, and in scripts whose stops need no space.
_END = re.compile(
    r"""
    (?: (?<=[.!?…]) | (?<=[.!?…]["'\u201d\u2019)\]]) ) \s+ (?=[^\sa-z])
    | (?<=[\u3002\uff01\uff1f])  # 。 and the wide ! and ?
    | \n\s*\n
    | \n (?= \s* (?: [-*+•#>|] | \d+[.)] ) \s )
    """,
    re.VERBOSE,
)
_ABBREVIATED = re.compile(r"\b(?:[A-Z]|e\.g|i\.e|cf|vs|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|approx)\.$")

_RULE = " #=-*~\t\n"  # what stands around the words of a heading

# Below this share of the query's words, no sentence is chosen for its words alone.
TELLING = 0.25
# So many sentences of an answer are encoded at most: a tenth of a second on one core.
MOST_ENCODED = 10


@dataclass(frozen=True, slots=True)
class Snippet:
    """Spans [start, end) of a passage's text in code points: matching words, and one sentence."""

    marks: tuple[Span, ...]
    sentence: Span


def snippets(
    passages: Sequence[tuple[str, Collection[str]]],
    weights: Mapping[str, float],
    whole: Collection[str],
    nearness: Callable[[list[str]], NDArray[np.float32]] | None,
) -> list[Snippet]:
    """Of each (text, its headings), the words that match and the sentence that answers best.

    `weights` are the query's terms with what each counts, `whole` what may stand whole. Sentences
    are scored as passages are, by `fuse`: the share of the query's weight that their words have,
    and, where no sentence of a text has a quarter of it, the cosine to the query: `nearness` gives
    that for a list of sentences, [n]. The first is taken of equals, a heading only
    where there is nothing else. Only the first texts are encoded, as far as MOST_ENCODED goes.
    """
    total = sum(weights.values()) or 1.0
    chosen: list[Snippet] = []
    undecided: list[tuple[int, list[Span], dict[int, float]]] = []
    encoded: list[str] = []
    for number, (text, headings) in enumerate(passages):
        spans = [
            span for span in sentences(text) if text[slice(*span)].strip(_RULE) not in headings
        ]
        spans = spans or sentences(text)
        found = _matches(text, weights, whole)
        shares = {
            place: sum(weights.get(term, 0.0) for term in _within(found, span)) / total
            for place, span in enumerate(spans)
        }
        best = max(shares, key=lambda place: (shares[place], -place), default=0)
        sentence = spans[best] if spans else (0, len(text))
        chosen.append(Snippet(_merged([span for _, span in found]), sentence))
        if (
            nearness is not None
            and len(spans) > 1
            and shares[best] < TELLING
            and len(encoded) + len(spans) <= MOST_ENCODED
        ):
            undecided.append((number, spans, shares))
            encoded += [text[slice(*span)] for span in spans]
    if nearness is not None and encoded:
        cosines = nearness(encoded).tolist()
        for number, spans, shares in undecided:
            own, cosines = cosines[: len(spans)], cosines[len(spans) :]
            scores = fuse(dict(enumerate(own)), shares)
            best = max(scores, key=lambda place: (scores[place], -place))
            chosen[number] = Snippet(chosen[number].marks, spans[best])
    return chosen


def sentences(text: str) -> list[Span]:
    """The sentences of a passage, as spans without the white space around them.

    >>> sentences("Dr. Who came.  He left!\\n\\n- one\\n- two")
    [(0, 13), (15, 23), (25, 30), (31, 36)]
    """
    spans: list[Span] = []
    start = 0
    ends = [found.span() for found in _END.finditer(text)]
    for end, after in [*ends, (len(text), len(text))]:
        if after < len(text) and _ABBREVIATED.search(text, start, end):
            continue
        piece = text[start:end]
        if piece.strip():
            low = start + len(piece) - len(piece.lstrip())
            spans.append((low, start + len(piece.rstrip())))
        start = after
    return spans


def _matches(
    text: str, weights: Mapping[str, float], whole: Collection[str]
) -> list[tuple[str, Span]]:
    """(term of the query, span) of each word of a text that matches, and of what stands whole."""
    prefixes = tuple(term.removesuffix("*") for term in weights if term.endswith("*"))
    found: list[tuple[str, Span]] = []
    for term in analysis.words(text, trailing=bool(prefixes)):
        if term.text in weights or term.text in whole:
            found.append((term.text, (term.start, term.end)))
        elif prefixes and term.text.startswith(prefixes):
            prefix = next(prefix for prefix in prefixes if term.text.startswith(prefix))
            found.append((f"{prefix}*", (term.start, term.start + len(prefix))))
    if whole:
        for term in analysis.compounds(text):
            if term.text in whole:
                found.append((term.text, (term.start, term.end)))
    return found


def _within(found: Sequence[tuple[str, Span]], sentence: Span) -> set[str]:
    start, end = sentence
    return {term for term, (low, high) in found if start <= low and high <= end}


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Ascending, those that overlap made one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
