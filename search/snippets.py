"""What of a passage answers: the words that match, and the sentence that says it."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from ..index import analysis
from .likeness import Likeness

Span = tuple[int, int]

# A sentence ends at a full stop before white space, and in scripts whose stops need no space; what
# closes a quotation belongs to it. The group is what stands between two sentences. All begin with
# one of a few characters, which `re` finds far sooner than it tries alternatives.
_ITEM = r"\s* (?: [-*+•>|] | \#{1,6} | \d+[.)] ) \s"
_STOP = r".!?\u2026\u0964\u061f\u06d4"  # of Devanagari, Arabic and Urdu, too
_WIDE_STOP = r"\u3002\uff01\uff1f\uff61"  # 。 and its like
_WIDE_CLOSING = r"\u300d\u300f\uff09\u3011\u3009\u300b\u201d\u2019"  # 」 and its like
_END = re.compile(
    rf"""
    [{_STOP}{_WIDE_STOP}] (?:
        (?<=[{_STOP}]) ["'\u201d\u2019\u00bb)\]]? (\s+) (?=\S)
        | (?<=[{_WIDE_STOP}]) [{_WIDE_CLOSING}]? () (?! [{_WIDE_STOP}{_WIDE_CLOSING}] )
    )
    """,
    re.VERBOSE,
)
# It ends where a paragraph, a heading or an item of a list ends, too.
_LINES = re.compile(rf"\n (?: \s*\n | (?= {_ITEM} ) )", re.VERBOSE)
_HEADING = re.compile(r"^#{1,6}[ \t].*$", re.MULTILINE)
_ABBREVIATED = re.compile(r"\b(?:[A-Z]|e\.g|i\.e|cf|vs|Mr|Mrs|Ms|Dr|Prof|St|Fig|approx)\.$")
# What parts a paragraph or an item from what stands before it, whatever that ends with.
_APART = re.compile(rf"\s*\n\s*\n | \s*\n (?= {_ITEM} )", re.VERBOSE)

_RULE = " #=-*~\t\n"  # what stands around the words of a heading


@dataclass(frozen=True, slots=True)
class Snippet:
    """Spans [start, end) of a passage's text in code points: matching words, and one sentence."""

    marks: tuple[Span, ...]
    sentence: Span


def snippets_of(
    passages: Sequence[tuple[str, Collection[str]]],
    weights: Mapping[str, float],
    whole: Collection[str],
    likeness: Likeness | None = None,
) -> list[Snippet]:
    """The snippet of each (text, its headings) for a query.

    `weights` are the query's terms with what each counts, `whole` what may stand whole. The
    sentence is the one with most of the query's weight: of a term that it has all of it, and of one
    that it has not as much as its nearest word is like it. The first is taken of equals; a heading,
    or what has neither letter nor digit, only where there is nothing else.
    """
    spans: list[list[Span]] = []
    for text, headings in passages:
        cut = sentences(text)
        spans.append([span for span in cut if _says(text[slice(*span)], headings)] or cut)
    every = zip(passages, spans, strict=True)
    written = [text[slice(*span)] for (text, _), own in every for span in own]
    near = iter(likeness.of(written) if likeness else [{}] * len(written))
    among = analysis.Among({*weights, *whole}, [text for text, _ in passages])
    made = []
    for (text, _), own in zip(passages, spans, strict=True):
        found = _matches(text, weights, whole, among)
        shares = []
        for span in own:
            within, nearest = _within(found, span), next(near)
            shares.append(
                # Rounded once: equals must not be parted by the order of their sums.
                fsum(
                    weight if term in within else weight * nearest.get(term, 0.0)
                    for term, weight in weights.items()
                )
            )
        sentence = own[shares.index(max(shares))] if own else (0, len(text))
        made.append(Snippet(_merged([span for _, span in found]), sentence))
    return made


def sentences(text: str) -> list[Span]:
    """The sentences of a passage, as spans without the white space around them.

    They ascend, do not overlap, and hold every character that is no white space.

    >>> sentences("Dr. Who came.  He left!\\n\\n- one\\n- two")
    [(0, 13), (15, 23), (25, 30), (31, 36)]
    """
    spans: list[Span] = []
    start = 0
    ends = [found.span(found.lastindex or 0) for found in _END.finditer(text)]
    if "\n" in text:
        ends += [found.span() for found in _LINES.finditer(text)]
    if "#" in text:
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
    text: str, weights: Mapping[str, float], whole: Collection[str], among: analysis.Among
) -> list[tuple[str, Span]]:
    """(term of the query, span) of each word of a text that matches, and of what stands whole.

    `among` has the terms of `weights` and `whole`, and this text.
    """
    prefixes = tuple(term.removesuffix("*") for term in weights if term.endswith("*"))
    found: list[tuple[str, Span]] = []
    for term in analysis.words(text, bool(prefixes), None if prefixes else among):
        if term.text in weights or term.text in whole:
            found.append((term.text, (term.start, term.end)))
        elif prefixes and term.text.startswith(prefixes):
            prefix = next(prefix for prefix in prefixes if term.text.startswith(prefix))
            found.append((f"{prefix}*", (term.start, _reach(text, term, prefix))))
    for term in analysis.compounds(text, among):
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
