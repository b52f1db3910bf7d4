"""Text -> the terms that full-text search knows it by: folded, stemmed, cut where nobody cuts.

What Lucene calls an analyzer. The index, a query and the marks in a snippet go through the same
one, so that what was indexed of a text is found by that text.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import Stemmer


class Term(NamedTuple):
    """A term and the span [start, end) of the text that it stands for, in code points."""

    text: str
    start: int
    end: int


# The possessive's s, and what an apostrophe cuts off in English, are no words of their own.
_CLIPPED = frozenset(["d", "ll", "m", "re", "s", "t", "ve"])
_APOSTROPHES = "'\u2019"

# Words that stand in nearly every English text.
_FUNCTION_WORDS = frozenset(
    [
        "a",
        "about",
        "all",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "me",
        "my",
        "of",
        "on",
        "or",
        "our",
        "s",
        "she",
        "should",
        "so",
        "some",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)

_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")
# getUserName, HTTPServer: a capital after a small letter, or before one that ends an acronym.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# snake_case, e-mail, CVE-2021-44228, std::vector, v1.2.3, user@example.com, C++; and plain words
_JOINED = re.compile(r"\w+(?:(?:::|->|[-_.@/:+\u2010\u2011])\w+)*(?:\+\+|#(?!\w))?")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])(?:[^\w]|_)+(?=[^\W\d_])")
LONGEST_COMPOUND = 100  # code points; longer ones are encoded data
LONGEST_WORD = 200  # code points of a word that count

_LETTERS = {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "\u0131": "i", "þ": "th", "ð": "d"}
_FOLDED = str.maketrans(_LETTERS)
# Scripts whose accents and vowel points are left away in everyday spelling, or by a keyboard.
_ACCENTED = re.compile("[\u00c0-\u052f\u0590-\u06ff\u1e00-\u1fff]")


def words(text: str, trailing: bool = True) -> Iterator[Term]:
    """The terms of running text, in their order.

    A word is folded (NFKC, case, and the accents of Latin, Greek, Cyrillic, Arabic and Hebrew) and,
    where it is of ASCII letters alone, stemmed (Snowball's English stemmer, Porter 2001); one with
    a digit is not. The parts of camelCase are words. Scripts that put no space between words give
    each pair of neighbouring characters, as Lucene's CJKBigramFilter does, Thai, Lao, Khmer and
    Burmese included; with `trailing`, the last character of such a run once more alone, so that
    a prefix finds every character.

    >>> [term.text for term in words("Getting the café's Wi-Fi")]
    ['get', 'the', 'cafe', 'wi', 'fi']
    >>> [term.text for term in words("東京都 fp16")]
    ['東京', '京都', '都', 'fp16']
    """
    if text.isascii():
        for found in _ASCII_WORD.finditer(text):
            start = found.start()
            for term, low, high in _of_run(found[0]):
                if term in _CLIPPED and start and text[start - 1] in _APOSTROPHES:
                    continue
                yield Term(term, start + low, start + high)
        return
    for found in _patterns().word.finditer(text):
        start, end = found.span()
        if found["unspaced"]:
            yield from _pairs(text, start, end, trailing)
            continue
        for term, low, high in _of_run(found[0]):
            if term in _CLIPPED and start and text[start - 1] in _APOSTROPHES:
                continue
            yield Term(term, start + low, start + high)


def asked(text: str) -> list[str]:
    """The distinct terms that a question asks for, in their order; one that ends in `*` may go on.

    English function words only where there are no others: they tell no passage from another.

    >>> asked("How does the router work?"), asked("to be"), asked("都")
    (['router', 'work'], ['to', 'be'], ['都*'])
    """
    found = list(words(text, trailing=False))
    telling = [w for w in found if text[w.start : w.end].lower() not in _FUNCTION_WORDS]
    return list(dict.fromkeys(_as_asked(word.text) for word in telling or found))


def asked_whole(text: str) -> list[str]:
    """What of a question may stand whole in `compounds`: its own, and its words unstemmed.

    >>> asked_whole("wifi caches of getUserName")
    ['getusername', 'caches']
    """
    whole = [term.text for term in compounds(text)]
    for word in words(text, trailing=False):
        folded = fold(text[word.start : word.end])
        if folded not in (word.text, "", *_FUNCTION_WORDS):
            whole.append(folded)
    return list(dict.fromkeys(whole))


def phrase(text: str) -> str:
    """The terms of a quoted phrase, parted by spaces; empty where it has none.

    >>> phrase("running shoes"), phrase("京")
    ('run shoe', '京*')
    """
    found = [word.text for word in words(text, trailing=False)]
    return " ".join([*found[:-1], *map(_as_asked, found[-1:])])


def _as_asked(term: str) -> str:
    """A lone character of a script without spaces is the beginning of what it may stand in."""
    alone = not term.isascii() and _patterns().single.fullmatch(term)
    return f"{term}*" if alone else term


def compounds(text: str) -> Iterator[Term]:
    """The identifiers, numbers and names of several parts, each whole and unstemmed.

    What joins letters is left away, so that `wi-fi` is `wifi`, and `getUserName` `get_user_name`;
    what stands beside a digit stays, so that 1.11 is not 11.1.

    >>> [term.text for term in compounds("the Wi-Fi of CVE-2021-44228, getUserName in C++")]
    ['wifi', 'cve-2021-44228', 'getusername', 'c++']
    """
    for found in _JOINED.finditer(text):
        if whole := _compound(found[0]):
            yield Term(whole, *found.span())


def fold(word: str) -> str:
    """A word as it is compared: one form of each letter, without case, accents and marks.

    >>> fold("ZÜRICH"), fold("Straße"), fold("أحمد")
    ('zurich', 'strasse', 'احمد')
    """
    if word.isascii():
        return word.lower()
    folded = unicodedata.normalize("NFKC", word).casefold()
    if _ACCENTED.search(folded):
        folded = _without_accents(folded).translate(_FOLDED)
    return "".join(c for c in unicodedata.normalize("NFC", folded) if _belongs(c))


@lru_cache(200_000)
def _compound(found: str) -> str:
    """The whole as a term; empty where it is a plain word."""
    plain = found.isalnum() and not _CAMEL.search(found)
    if plain or len(found) > LONGEST_COMPOUND:
        return ""
    if not found.isascii():
        # What a normal form makes of a letter may be a space, which would part the term in two.
        found = "".join(unicodedata.normalize("NFKC", found).split())
        found = _without_accents(found.casefold()).translate(_FOLDED)
    return _BETWEEN_LETTERS.sub("", found).lower()


def _without_accents(text: str) -> str:
    kept: list[str] = []
    accented = False
    for point in unicodedata.normalize("NFD", text):
        if unicodedata.category(point) == "Mn":
            if accented:
                continue
        else:
            accented = bool(_ACCENTED.match(point)) or point.isascii()
        kept.append(point)
    return "".join(kept)


def _belongs(point: str) -> bool:
    # Not the Arabic tatweel, which only stretches a word.
    return point != "\u0640" and (point.isalnum() or unicodedata.category(point)[0] == "M")


@lru_cache(200_000)
def _of_run(run: str) -> tuple[tuple[str, int, int], ...]:
    """(term, start, end) of the words of a run of letters and digits."""
    if not run.isascii():
        folded = fold(run)
        return ((_stem(folded), 0, len(run)),) if folded else ()
    if run.islower() or run.isupper() or run[1:].islower() or not run.isalpha():
        return ((_stem(run.lower()), 0, len(run)),)
    places = [0, *(found.start() for found in _CAMEL.finditer(run)), len(run)]
    return tuple((_stem(run[low:high].lower()), low, high) for low, high in pairwise(places))


def _pairs(text: str, start: int, end: int, trailing: bool) -> Iterator[Term]:
    found = [
        (folded, character.start(), character.end())
        for character in _patterns().character.finditer(text, start, end)
        if (folded := fold(character[0]))
    ]
    for first, second in pairwise(found):
        yield Term(first[0] + second[0], first[1], second[2])
    if found and (trailing or len(found) == 1):
        yield Term(*found[-1])


def _stem(word: str) -> str:
    if word.isascii() and word.isalpha():
        stemmed: str = _stemmer().stemWord(word[:LONGEST_WORD])
        return stemmed
    return word[:LONGEST_WORD]


@cache
def _stemmer() -> Any:
    # Without its own cache, which threads must not share.
    return Stemmer.Stemmer("english", 0)


class _Patterns(NamedTuple):
    word: Any
    character: Any
    single: Any


@cache
def _patterns() -> _Patterns:
    import regex  # 40 ms, which a query in ASCII need not wait for

    unspaced = "".join(
        rf"\p{{scx={script}}}"
        for script in [
            "Han",
            "Hira",
            "Kana",
            "Bopo",
            "Hang",
            "Yiii",
            "Thai",
            "Laoo",
            "Khmr",
            "Mymr",
        ]
    )
    # Soft hyphens and joiners stand inside a word, and are nothing in it.
    part = r"[\p{L}\p{M}\p{N}]"
    return _Patterns(
        regex.compile(
            rf"(?P<unspaced>[[{unspaced}]&&{part}]+)"
            rf"|[{part}--[{unspaced}]](?:[\u00ad\u200b-\u200d\u2060]*[{part}--[{unspaced}]])*",
            regex.VERSION1,
        ),
        regex.compile(r"\X"),
        regex.compile(rf"(?=[{unspaced}])\X", regex.VERSION1),
    )
