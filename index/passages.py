"""A document -> its passages: whole sections, paragraphs, sentences, up to a number of tokens."""

import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from .types import Document, Passage

Spans = Sequence[tuple[int, int]] | NDArray[np.int64]
TokenSpans = Callable[[Sequence[str]], Sequence[Spans]]

# Tokens of a passage at most. With more, a vector says too many things and an answer drowns in what
# surrounds it; with fewer, it is torn apart. Measured by benchmarks/passages.py.
GOAL = 180
BLOCK_SIZE = 100_000  # code points tokenised at once: bounds memory, not what comes out
# A tokenizer may take a word of any length for one token, or for none; a passage must have an end.
FEW_TOKENS, MANY_TOKENS = 16, 128
LONGEST_TOKEN, USUAL_TOKEN = 20, 4  # code points
MARKUP = " \t\n#=-~*_`"  # may stand between the start of a text and the title it repeats
BETWEEN = " > "  # the headings of a path
HEADLINE = 256  # code points of title and headings that the encoder is given at most

# Where a text may be cut, best first: a match ends where the next passage begins. A paragraph that
# is not indented comes first, for in source code it starts what is no part of something else.
PARAGRAPH = regex.compile(r"\n(?:[^\S\n]*\n)+(?=\S)")
INDENTED_PARAGRAPH = regex.compile(r"\n(?:[^\S\n]*\n)+\s*")
ITEM = regex.compile(r"\n[^\S\n]*(?=(?:[-*+•‣◦▪·]|\(?(?:\d{1,3}|[A-Za-z])[.)])\s)")
# Unicode's sentence rules (UAX #29, SB6 to SB11), but that a line's end is only where text was
# wrapped, that "!" and "?" inside a word end nothing, and with the abbreviations they leave out.
SENTENCE = regex.compile(
    r"""
    (?: [\p{Sentence_Break=ATerm}…](?=\p{Sentence_Break=Close}*+\s)
        (?<!\b(?:\p{Lu}|e\.g|i\.e|cf|vs|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|Eq|Sec|Vol|pp|approx|al).)
      | \p{Sentence_Break=STerm}
    )
    \p{Sentence_Break=Close}*+\s++(?!\p{Sentence_Break=Lower}|\p{Sentence_Break=SContinue})
    | [[\p{Sentence_Break=STerm}\N{FULLWIDTH FULL STOP}]--[!?]]\p{Sentence_Break=Close}*+\s*+
      (?!\p{Sentence_Break=STerm})
    """,
    regex.VERBOSE | regex.VERSION1,
)
VISIBLE = re.compile(r"\S")  # exactly what `str.strip` leaves, which regex has otherwise
LINE = regex.compile(r"\n\s*")
CLAUSE = regex.compile(r"[,;:)\]\p{Pd}،؛]\s+|[、，；：）」』】》]\s*")  # noqa: RUF001
WORD = regex.compile(r"\s+")
GRAPHEME = regex.compile(r"\X")
LEVELS = (PARAGRAPH, INDENTED_PARAGRAPH, ITEM, SENTENCE, LINE, CLAUSE, WORD, GRAPHEME)
CONTEXT = 100  # code points before and after a window that a match may start or look at


def split(
    document: Document, token_spans: TokenSpans, room: int, goal: int = GOAL
) -> list[Passage]:
    """The passages of `document`, in order, none with more than `goal` tokens.

    `token_spans` gives the code point offsets [start, end) of the tokens of each of several texts,
    without special ones. `room` is how many tokens the encoder takes: a passage leaves what its
    title and heading need, but has at least half. Every character that is no white space is in
    exactly one passage, and every passage starts and ends with such. None crosses a heading, but
    for short sections, which stand together. A document with a title and no text has one empty
    passage, to be found by its title.
    """
    return split_all([document], token_spans, room, goal)[0]


def split_all(
    documents: Sequence[Document], token_spans: TokenSpans, room: int, goal: int = GOAL
) -> list[list[Passage]]:
    """As `split` of each, whose texts go through the tokenizer together."""
    every = _token_starts([document.text for document in documents], token_spans)
    sections = [
        _headed(document, starts, min(goal, room))
        for document, starts in zip(documents, every, strict=True)
    ]
    above = list({headline: None for own in sections for _, _, headline in own})
    sizes = {
        above[block.place]: len(spans)
        for some in _tokenised(above, token_spans)
        for block, spans in some
    }
    found = []
    for document, starts, own in zip(documents, every, sections, strict=True):
        text, line, counted = document.text, document.line, 0
        passages = [] if own or not document.title.strip() else [Passage(0, 0, "", line)]
        for section, heading, headline in own:
            left = max(room - sizes[headline], room // 2, 1) if headline else room
            cutter = _Cutter(text, starts, token_spans, min(goal, left))
            for start, end in cutter.spans(section.start, section.end):
                if document.lined:
                    line += text.count("\n", counted, start)
                    counted = start
                page = bisect_right(document.pages, start) or None
                passages.append(Passage(start, end, text[start:end], line, page, heading))
        found.append(passages)
    return found


def _headed(
    document: Document, starts: "array[int]", limit: int
) -> "list[tuple[_Section, str, str]]":
    """The sections of a document, each with its heading, and with what the encoder has above it."""
    found = []
    for section in _grouped(_sections(document, starts), limit):
        heading = BETWEEN.join(section.path)
        found.append((section, heading, _headline(_parts(document.title, heading))))
    return found


def encoded_text(title: str, heading: str, passage: str) -> str:
    """What the encoder is given for a passage: in NFC, below its title and path of headings.

    Where the passage starts with one of them, that and what follows in the path are left out.
    """
    text = unicodedata.normalize("NFC", passage)
    parts = _parts(title, heading)
    start = text.lstrip(MARKUP)
    said = next((n for n, part in enumerate(parts) if start.startswith(part)), len(parts))
    above = _headline(parts[:said])
    if not text:
        return above.rstrip("\n")
    return above + text


def encoded_texts(title: str, heading: str, passage: str) -> tuple[str, str]:
    """What the encoder was given for a passage: as now, and as before headings were given."""
    now = encoded_text(title, heading, passage)
    text = unicodedata.normalize("NFC", passage)
    title = unicodedata.normalize("NFC", title.strip())
    if not title or text.lstrip(MARKUP).startswith(title):
        return now, text
    return now, f"{title}\n{text}" if text else title


def _parts(title: str, heading: str) -> list[str]:
    """The title and the headings of a path, each once."""
    parts = [title, *heading.split(BETWEEN)]
    stripped = (unicodedata.normalize("NFC", part.strip()) for part in parts)
    return list(dict.fromkeys(part for part in stripped if part))


def _headline(parts: Sequence[str]) -> str:
    """`title > heading > heading` on a line, or nothing."""
    return BETWEEN.join(parts)[:HEADLINE] + "\n" if parts else ""


class _Block(NamedTuple):
    """A part of one of several texts."""

    place: int
    begin: int
    end: int


def _tokenised(
    texts: Sequence[str], token_spans: TokenSpans
) -> Iterator[list[tuple[_Block, NDArray[np.int64]]]]:
    """The blocks of texts with their tokens `[n, 2]`: those that are tokenised at once, together.

    Each text has one block at least.
    """
    waiting: list[_Block] = []
    size = 0
    for place, text in enumerate(texts):
        for begin, end in _blocks(text):
            if waiting and size + end - begin > BLOCK_SIZE:
                yield _with_tokens(waiting, texts, token_spans)
                waiting, size = [], 0
            waiting.append(_Block(place, begin, end))
            size += end - begin
    if waiting:
        yield _with_tokens(waiting, texts, token_spans)


def _with_tokens(
    blocks: list[_Block], texts: Sequence[str], token_spans: TokenSpans
) -> list[tuple[_Block, NDArray[np.int64]]]:
    every = token_spans([texts[place][begin:end] for place, begin, end in blocks])
    arrays = [np.asarray(spans, np.int64).reshape(-1, 2) for spans in every]
    return list(zip(blocks, arrays, strict=True))


def _token_starts(texts: Sequence[str], token_spans: TokenSpans) -> "list[array[int]]":
    """The offset of each token; what has none, or one for a long word, counts as if it had."""
    found = [array("q") for _ in texts]
    for some in _tokenised(texts, token_spans):
        starts, ends = np.concatenate([spans for _, spans in some]).T
        sizes = np.array([len(spans) for _, spans in some])
        stops = np.cumsum(sizes)
        # Where the token before ends, or the block begins.
        before = np.concatenate([[0], ends[:-1]])
        before[(stops - sizes)[sizes > 0]] = 0
        strange = (starts - before > LONGEST_TOKEN) | (ends - starts > LONGEST_TOKEN)
        strange_in = np.searchsorted(stops, np.flatnonzero(strange), "right")
        usual = set(range(len(some))).difference(strange_in.tolist())
        absolute = starts + np.repeat([block.begin for block, _ in some], sizes)
        for number, (block, spans) in enumerate(some):
            text, own, counted = texts[block.place], found[block.place], block.begin
            if len(spans):
                counted += int(spans[-1, 1])
            if number in usual:
                own.frombytes(absolute[stops[number] - len(spans) : stops[number]].tobytes())
            else:
                own.extend(_with_usual_tokens(text, (spans + block.begin).tolist(), block.begin))
            own.extend(_usual_tokens(text, counted, block.end))
    return found


def _with_usual_tokens(text: str, spans: Sequence[Sequence[int]], counted: int) -> Iterator[int]:
    """The offsets of tokens, and others in what is long: a token, or text before one."""
    for start, stop in spans:
        if start - counted > LONGEST_TOKEN:
            yield from _usual_tokens(text, counted, start)
        if stop - start <= LONGEST_TOKEN:
            yield start
        else:
            yield from _usual_tokens(text, start, stop)
        counted = stop


def _usual_tokens(text: str, start: int, end: int) -> range:
    """Offsets to count by in text that the tokenizer passes over; none in white space."""
    return range(start, end if text[start:end].strip() else start, USUAL_TOKEN)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    while len(text) - begin > BLOCK_SIZE:
        end = _block_end(text, begin)
        yield begin, end
        begin = end
    yield begin, len(text)


def _block_end(text: str, begin: int) -> int:
    end = begin + BLOCK_SIZE
    for gap in ("\n", " "):
        if (at := text.rfind(gap, begin + 1, end)) > 0:
            return at
    return end


@dataclass(slots=True)
class _Section:
    """The text from a heading to the next. `bare` where it is the heading alone."""

    start: int
    end: int
    level: int
    path: tuple[str, ...]
    tokens: int
    bare: bool


def _sections(document: Document, starts: "array[int]") -> Iterator[_Section]:
    text = document.text
    headings = sorted(document.headings, key=lambda heading: heading.start)
    bounds = [0, *(heading.start for heading in headings), len(text)]
    above: list[tuple[int, str]] = []
    for number, (start, end) in enumerate(pairwise(bounds)):
        level, words = 0, 0
        if number:
            heading = headings[number - 1]
            level = heading.level
            words = len(heading.text.split())
            while above and above[-1][0] >= level:
                above.pop()
            above.append((level, heading.text))
        if not text[start:end].strip():
            continue
        tokens = bisect_left(starts, end) - bisect_left(starts, start)
        # Beside its words, a heading alone has at most a rule above and one below. What stands
        # before the first heading is as good as nothing where it is a line of markup.
        bare = tokens < FEW_TOKENS
        if number:
            bare = tokens < MANY_TOKENS and len(text[start:end].split()) <= words + 2
        yield _Section(start, end, level, tuple(title for _, title in above), tokens, bare)


def _grouped(sections: Iterator[_Section], limit: int) -> Iterator[_Section]:
    """Join a heading that has no text with what is below it, and the short with the short.

    A vector of a few words says little: sections stand together up to a quarter of the limit, if
    none of them leaves what the first is part of.
    """
    group: _Section | None = None
    for section in sections:
        if group is None:
            group = section
            continue
        fits = group.tokens + section.tokens <= limit // 4
        heads = group.bare and section.level > group.level and group.tokens <= limit // 4
        if section.level < group.level or not (fits or heads):
            yield group
            group = section
            continue
        path = section.path if heads or not group.path else _common(group.path, section.path)
        tokens = group.tokens + section.tokens
        group = _Section(
            group.start, section.end, group.level, path, tokens, heads and section.bare
        )
    if group is not None:
        yield group


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return first[:same]


@dataclass(frozen=True, slots=True)
class _Cutter:
    """Cuts a section of a text. `starts` are the tokens of the whole."""

    text: str
    starts: "array[int]"
    token_spans: TokenSpans
    limit: int

    def spans(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield spans [start, end) of a section, trimmed of white space, that cover it."""
        start = self._next(start, end)
        end = self._last(start, end)
        last = bisect_left(self.starts, end)
        while start < end:
            cut = end
            first = bisect_left(self.starts, start)
            if last - first > self.limit:
                cut = self._cut(first, last, start + 1)
            stop = self._last(start, cut)
            # At a space a tokenizer begins anew; elsewhere it may count otherwise.
            if not (self._is_blank(start - 1) and self._is_blank(stop)):
                fitting = self._fitting(start, stop, start + 1)
                if fitting < stop:
                    cut, stop = fitting, self._last(start, fitting)
            yield start, stop
            start = self._next(cut, end)

    def _cut(self, first: int, last: int, least: int) -> int:
        """Where to cut before token `first + limit`, at `least` or later.

        What is left is shared out evenly, so that no passage is a mere rest; the best kind of cut
        that the second half of a share holds is taken, there the one nearest its end.
        """
        left = last - first
        share = ceil(left / ceil(left / self.limit))
        low = max(self.starts[first + share // 2], least)
        high = max(self.starts[first + self.limit], low)
        target = max(self.starts[first + share], low)
        for level in LEVELS:
            places = self._places(level, low, high)
            if places:
                return min(places, key=lambda place: abs(place - target))
        return target

    def _places(self, level: regex.Pattern[str], low: int, high: int) -> list[int]:
        """The offsets in [low, high] at which a passage may begin, by cuts of one level."""
        matches = level.finditer(self.text, max(low - CONTEXT, 0), high + CONTEXT)
        return [match.end() for match in matches if low <= match.end() <= high]

    def _fitting(self, start: int, stop: int, least: int) -> int:
        """The end, at most `stop` and at least `least`, up to which the text fits the limit."""
        while stop > least:
            spans = self.token_spans([self.text[start:stop]])[0]
            if len(spans) <= self.limit:
                break
            place = max(start + int(spans[self.limit][0]), least)
            stop = max(self._places(GRAPHEME, least, place), default=place)
        return stop

    def _next(self, start: int, end: int) -> int:
        """The first place from `start` on that is no white space, or `end`."""
        found = VISIBLE.search(self.text, start, end)
        return found.start() if found else end

    def _last(self, start: int, end: int) -> int:
        """The end of text[start:end] without the white space that ends it."""
        return start + len(self.text[start:end].rstrip())

    def _is_blank(self, place: int) -> bool:
        # Other white space, a form feed for one, may be nothing to a tokenizer.
        return not 0 <= place < len(self.text) or self.text[place] in " \t\n"
