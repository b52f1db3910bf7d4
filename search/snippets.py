"""What of a passage answers: the words that match, and the sentence that says it."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..index import analysis
from .fusion import fuse

Span = tuple[int, int]

# A sentence ends at a full stop before white space, where a paragraph, a heading or an item of a
# list ends, and in scripts whose stops need no space; what closes a quotation belongs to it.
_ITEM = r"\s* (?: [-*+•>|] | \#{1,6} | \d+[.)] ) \s"
_STOP = r"[.!?\u2026\u0964\u061f\u06d4]"  # of Devanagari, Arabic and Urdu, too
_WIDE_STOP = r"[\u3002\uff01\uff1f\uff61]"  # 。 and its like
_WIDE_CLOSING = r"[\u300d\u300f\uff09\u3011\u3009\u300b\u201d\u2019]"  # 」 and its like
_END = re.compile(
    rf"""
    (?: (?<={_STOP}) | (?<={_STOP}["'\u201d\u2019\u00bb)\]]) ) \s+ (?=\S)
    | (?: (?<={_WIDE_STOP}) | (?<={_WIDE_STOP}{_WIDE_CLOSING}) )
      (?! {_WIDE_STOP} | {_WIDE_CLOSING} )
    | \n\s*\n
    | \n (?= {_ITEM} )
    """,
    re.VERBOSE,
)
_HEADING = re.compile(r"^#{1,6}[ \t].*$", re.MULTILINE)
_ABBREVIATED = re.compile(r"\b(?:[A-Z]|e\.g|i\.e|cf|vs|Mr|Mrs|Ms|Dr|Prof|St|Fig|approx)\.$")
# What parts a paragraph or an item from what stands before it, whatever that ends with.
_APART = re.compile(rf"\s*\n\s*\n | \s*\n (?= {_ITEM} )", re.VERBOSE)

_RULE = " #=-*~\t\n"  # what stands around the words of a heading

# Below this share of the query's words, no sentence is chosen for its words alone. Above it,
# vectors choose no better (benchmarks/sentences.py), and each sentence takes as long as a query.
TELLING = 0.1
# So many sentences of an answer are encoded at most.
MOST_ENCODED = 6


@dataclass(frozen=True, slots=True)
class Snippet:
    """Spans [start, end) of a passage's text in code points: matching words, and one sentence."""

    marks: tuple[Span, ...]
    sentence: Span


class Snippets:
    """Of each text, the words that match and the sentence that answers best.

    Sentences are scored as passages are, by `fuse`: the share of the query's weight that their
    words have, and, where no sentence of a text has a tenth of it, the cosine to the query. The
    first is taken of equals; a heading, or what has neither letter nor digit, only where there is
    nothing else.
    """

    def __init__(
        self,
        passages: Sequence[tuple[str, Collection[str]]],
        weights: Mapping[str, float],
        whole: Collection[str],
    ) -> None:
        """Choose in each (text, its headings) what words can choose.

        `weights` are the query's terms with what each counts, `whole` what may stand whole.
        `undecided` are the sentences of which cosines say more, MOST_ENCODED at most: of the first
        texts, and in a text of those first that have more of the query's words.
        """
        total = sum(weights.values()) or 1.0
        self.undecided: list[str] = []
        self._chosen: list[Snippet] = []
        self._open: list[tuple[int, list[Span], list[int], dict[int, float]]] = []
        for number, (text, headings) in enumerate(passages):
            every = sentences(text)
            spans = [span for span in every if _says(text[slice(*span)], headings)] or every
            found = _matches(text, weights, whole)
            shares = {
                place: sum(weights.get(term, 0.0) for term in _within(found, span)) / total
                for place, span in enumerate(spans)
            }
            ranked = sorted(shares, key=lambda place: (-shares[place], place))
            sentence = spans[ranked[0]] if spans else (0, len(text))
            self._chosen.append(Snippet(_merged([span for _, span in found]), sentence))
            asked = ranked[: MOST_ENCODED - len(self.undecided)]
            if len(asked) > 1 and shares[ranked[0]] < TELLING:
                self._open.append((number, spans, asked, shares))
                self.undecided += [text[slice(*spans[place])] for place in asked]

    def by_words(self) -> list[Snippet]:
        """What words choose, of each text."""
        return self._chosen

    def by_both(self, cosines: Sequence[float]) -> list[Snippet]:
        """As `by_words`, but of the undecided, whose cosines to the query these are, the best."""
        chosen = list(self._chosen)
        start = 0
        for number, spans, asked, shares in self._open:
            own = dict(zip(asked, cosines[start : start + len(asked)], strict=True))
            start += len(asked)
            scores = fuse(own, {place: shares[place] for place in asked})
            best = max(scores, key=lambda place: (scores[place], -place))
            chosen[number] = Snippet(chosen[number].marks, spans[best])
        return chosen


def sentences(text: str) -> list[Span]:
    """The sentences of a passage, as spans without the white space around them.

    They ascend, do not overlap, and hold every character that is no white space.

    >>> sentences("Dr. Who came.  He left!\\n\\n- one\\n- two")
    [(0, 13), (15, 23), (25, 30), (31, 36)]
    """
    spans: list[Span] = []
    start = 0
    ends = [found.span() for found in _END.finditer(text)]
    ends += [(found.end(), found.end()) for found in _HEADING.finditer(text)]
    for end, after in [*sorted(ends), (len(text), len(text))]:
        if end < start or (end < after and _goes_on(text, start, end, after)):
            continue
        piece = text[start:end]
        if piece.strip():
            low = start + len(piece) - len(piece.lstrip())
            spans.append((low, start + len(piece.rstrip())))
        start = after
    return spans


def _goes_on(text: str, start: int, end: int, after: int) -> bool:
    """Whether the stop before the white space [end, after) ends an abbreviation, no sentence."""
    if _APART.match(text, end):
        return False
    if text[after].isdigit() and text.endswith("No.", start, end):
        return True
    return text[after].islower() or bool(_ABBREVIATED.search(text, max(start, end - 8), end))


def _says(sentence: str, headings: Collection[str]) -> bool:
    """Whether it is more than a heading, or a line of marks."""
    bare = sentence.strip(_RULE)
    return bare not in headings and any(map(str.isalnum, bare))


def _matches(
    text: str, weights: Mapping[str, float], whole: Collection[str]
) -> list[tuple[str, Span]]:
    """(term of the query, span) of each word of a text that matches, and of what stands whole."""
    prefixes = tuple(term.removesuffix("*") for term in weights if term.endswith("*"))
    found: list[tuple[str, Span]] = []
    among = None if prefixes else {*weights, *whole}
    for term in analysis.words(text, bool(prefixes), among):
        if term.text in weights or term.text in whole:
            found.append((term.text, (term.start, term.end)))
        elif prefixes and term.text.startswith(prefixes):
            prefix = next(prefix for prefix in prefixes if term.text.startswith(prefix))
            found.append((f"{prefix}*", (term.start, _reach(text, term, prefix))))
    for term in analysis.compounds(text):
        if term.text in weights or term.text in whole:
            found.append((term.text, (term.start, term.end)))
    return found


def _reach(text: str, term: analysis.Term, prefix: str) -> int:
    """Where what begins a term ends in the text: its letters may be several code points there."""
    for end in range(term.start + 1, term.end):
        marked = unicodedata.category(text[end])[0] == "M"
        if not marked and analysis.fold(text[term.start : end]).startswith(prefix):
            return end
    return term.end


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
