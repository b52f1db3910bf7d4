"""Text -> the terms that full-text search knows it by: folded, stemmed, cut where nobody cuts.

What Lucene calls an analyzer. The index, a query and the marks in a snippet go through the same
one, so that what was indexed of a text is found by that text.
"""

import re
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, compress, pairwise
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import Stemmer

T = TypeVar("T")


class _Remembered(dict[str, T]):
    """What is given for words, found out once: but for long ones, each of which is another."""

    def __init__(self, given: Callable[[str], T]) -> None:
        super().__init__()
        self._given = given

    def __missing__(self, word: str) -> T:
        value = self._given(word)
        if len(word) <= LONGEST_WORD:
            if len(self) >= KEPT:
                self.clear()
            self[word] = value
        return value


def _remembered(given: Callable[[str], T]) -> Callable[[str], T]:
    return _Remembered(given).__getitem__


class Term(NamedTuple):
    """A term and the span [start, end) of the text that it stands for, in code points."""

    text: str
    start: int
    end: int


# The possessive's s, and what an apostrophe cuts off in English, are no words of their own.
_CLIPPED = frozenset(["d", "ll", "m", "re", "s", "t", "ve"])
_APOSTROPHES = "'\u2019"

_IN_EVERY_TEXT = """
    a about all am an and any are as at be because been but by can could did do does for from had
    has have he her him his how i if in into is it its me my of on or our s she should so some than
    that the their them then there these they this those to was we were what when where which who
    whom whose why will with would you your
"""
# English words that tell no passage from another.
_FUNCTION_WORDS = frozenset(_IN_EVERY_TEXT.split())

# getUserName, HTTPServer: a capital after a small letter, or before one that ends an acronym.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# snake_case, e-mail, CVE-2021-44228, std::vector, v1.2.3, user@example.com, C++; and plain words
_JOINED = r"{part}+(?:(?:::|->|[-_.@/:+\u2010\u2011]){part}+)*(?:\+\+|#(?!{part}))?"


class _Spaced(NamedTuple):
    """How the words of a text are found all of which stand between spaces or marks."""

    word: re.Pattern[str]
    joined: re.Pattern[str]
    clipped: re.Pattern[str]

    @classmethod
    def of(cls, letter: str) -> "_Spaced":
        """`letter` is a letter or digit."""
        clipped = rf"(?<={letter})[{_APOSTROPHES}](?ai:{'|'.join(sorted(_CLIPPED))})(?!{letter})"
        return cls(
            re.compile(f"{letter}+"),
            re.compile(_JOINED.format(part=r"\w")),
            re.compile(clipped),
        )


_ASCII = _Spaced.of("[A-Za-z0-9]")
_ALPHABETS = _Spaced.of(r"[^\W_]")
# All but Latin, Greek, Cyrillic, and the signs, punctuation and spaces that stand beside these;
# no point of them is a mark, or nothing.
_BEYOND = re.compile(
    "[^\0-\xac\xae-\u02af\u0370-\u0482\u048a-\u052f\u1e00-\u200a\u200e-\u205f\u2070-\u208e"
    "\u20a0-\u20bf\u2100-\u2bff\ufb00-\ufb06\ufffd]"
)
_JOINTS = re.compile(r"([-_.@/:+#>]+)")
_BETWEEN_LETTERS = re.compile(r"(?<=[^-_.@/:+#>\d])[-_.@/:+#>]+(?=[^-_.@/:+#>\d])")
# Words that hyphens and slashes join: up-regulated, and/or.
_RUNNING = re.compile(r"[^-_.@/:+#>\d]+(?:[-/][^-_.@/:+#>\d]+)+")
_HYPHENS = str.maketrans("\u2010\u2011", "--")
IDENTIFIER = "="  # before a term that is found as it is written, and nowhere else
LONGEST_COMPOUND = 100  # code points; longer ones are encoded data
LONGEST_WORD = 200  # code points of a word that count
KEPT = 200_000  # words, for each thing that is known of them

# Soft hyphens, joiners, zero-width spaces and variation selectors: they stand inside a word, and
# are nothing in it.
_NOTHING = "\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\U000e0100-\U000e01ef"
_DROPPED = re.compile(f"[{_NOTHING}]")
_TATWEEL = "\u0640"  # only stretches a word of Arabic

_LETTERS = {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "\u0131": "i", "þ": "th", "ð": "d"}
_FOLDED = str.maketrans(_LETTERS)
# Scripts whose accents and vowel points are left away in everyday spelling, or by a keyboard.
_ACCENTED = re.compile("[\u00c0-\u052f\u0590-\u06ff\u1e00-\u1fff]")


class Among:
    """Terms that are looked for in several texts, and what of each text gives one."""

    def __init__(self, terms: Collection[str], texts: Collection[str]) -> None:
        """Of terms as `words` and `compounds` give them."""
        runs = {text: of.word.findall(text) for text in texts if (of := _spaced(text))}
        self.words = _giving(terms, runs, _terms_of)
        self.compounds = _giving(terms, {text: _joined_in(text) for text in texts}, _compound)


def _giving(
    terms: Collection[str],
    found: Mapping[str, Collection[str]],
    given: Callable[[str], tuple[str, ...]],
) -> Mapping[str, frozenset[str]]:
    """Of what was found in each text, what gives one of the terms; no loop of Python sees each."""
    distinct = frozenset(chain.from_iterable(found.values()))
    others = map(frozenset(terms).isdisjoint, map(given, distinct))
    wanted = distinct.difference(compress(distinct, others))
    return {text: wanted.intersection(own) for text, own in found.items()}


def words(text: str, trailing: bool = True, among: Among | None = None) -> Iterator[Term]:
    """The terms of running text, in their order.

    A word is folded (NFKC, case, and the accents of Latin, Greek, Cyrillic, Arabic and Hebrew) and,
    where it is of ASCII letters alone, stemmed (Snowball's English stemmer, Porter 2001); one with
    a digit is not. The parts of camelCase are words. Scripts that put no space between words give
    each pair of neighbouring characters, as Lucene's CJKBigramFilter does, Thai, Lao, Khmer and
    Burmese included; with `trailing`, the last character of such a run once more alone, so that
    a prefix finds every character. With `among`, which has this text among its own, words of
    Latin, Greek and Cyrillic that have none of its terms are left out, in a fraction of the time.

    >>> [term.text for term in words("Getting the café's Wi-Fi")]
    ['get', 'the', 'cafe', 'wi', 'fi']
    >>> [term.text for term in words("東京都 fp16")]
    ['東京', '京都', '都', 'fp16']
    """
    if among is not None and text in among.words:
        for run, start in _places(text, among.words[text]):
            yield from _terms_at(text, run, start)
        return
    for found in (_spaced(text) or _patterns()).word.finditer(text):
        if found.lastgroup:
            yield from _pairs(text, found.start(), found.end(), trailing)
        else:
            yield from _terms_at(text, found[0], found.start())


def _places(text: str, runs: Iterable[str]) -> list[tuple[str, int]]:
    """Where these of its runs of letters and digits stand in a text, with each; ascending."""
    places = []
    for run in runs:
        start = text.find(run)
        while start >= 0:
            end = start + len(run)
            if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
                places.append((run, start))
            start = text.find(run, end)
    return sorted(places, key=itemgetter(1))


def _terms_at(text: str, run: str, start: int) -> Iterator[Term]:
    """The terms of a run of letters and digits that stands there."""
    if start > 1 and text[start - 1] in _APOSTROPHES and _is_clipped(run, text[start - 2]):
        return
    for term, low, high in _of_run(run[:LONGEST_WORD]):
        yield Term(term, start + low, start + high)


def terms(text: str) -> tuple[str, str]:
    """The terms of `words` and those of `compounds`, parted by spaces: soon where words recur.

    >>> terms("Getting the café's Wi-Fi")
    ('get the cafe wi fi', 'wifi')
    """
    # White space ends every term, so that what stands between is looked up as it is.
    between = text.split()
    if not between:
        return "", ""
    running, whole = zip(*map(_terms_between, between), strict=True)
    return " ".join(filter(None, running)), " ".join(filter(None, whole))


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
    """The distinct terms of what a question has whole, in their order (`compounds`).

    >>> asked_whole("the Wi-Fi of the iPhone")
    ['wifi', 'iphon', '=iphone']
    """
    return list(dict.fromkeys(term.text for term in compounds(text)))


def phrase(text: str) -> str:
    """The terms of a quoted phrase, parted by spaces; empty where it has none.

    >>> phrase("running shoes"), phrase("京"), phrase("東京 京都市")
    ('run shoe', '京*', '東京 京 京都 都市')
    """
    found = list(words(text))
    # Of a run without spaces at the end, the last character may go on; before, a space follows it.
    last = list(words(text, trailing=False))[-1:]
    if found[-1:] != last:
        found.pop()
    return " ".join([*(word.text for word in found[:-1]), *(_as_asked(word.text) for word in last)])


def _spaced(text: str) -> _Spaced | None:
    """What finds the words of a text; None where only `_patterns` do, for which nearly all texts
    in Latin, Greek and Cyrillic need not wait.
    """
    if text.isascii():
        return _ASCII
    return None if _BEYOND.search(text) else _ALPHABETS


def _joined_in(text: str) -> list[str]:
    """What stands in one in a text, joined or not."""
    found: list[str] = (_spaced(text) or _patterns()).joined.findall(text)
    return found


def _as_asked(term: str) -> str:
    """A lone character of a script without spaces is the beginning of what it may stand in."""
    alone = not term.isascii() and _patterns().single.fullmatch(term)
    return f"{term}*" if alone else term


def compounds(text: str, among: Among | None = None) -> Iterator[Term]:
    """The terms of what has several parts, each for all of it: up to two for one span.

    What joins letters is left away, so that `wi-fi` is `wifi`, and `getUserName` `get_user_name`;
    what stands beside a digit stays, so that 1.11 is not 11.1. Where letters and digits remain, the
    word that others write in one is a term, stemmed as that is. An identifier is one as it is,
    unstemmed, behind `IDENTIFIER`: whatever has a digit, an inner capital, or another joint than
    hyphen and slash, which join the words of running text. With `among`, which has this text among
    its own, what has none of its terms is left out.

    >>> [term.text for term in compounds("Wi-Fi of CVE-2021-44228, getUserNames in C++")]
    ['wifi', '=cve-2021-44228', 'getusernam', '=getusernames', '=c++']
    """
    # Most texts have none, and their words are soon looked through.
    if among is None:
        wanted = frozenset(filter(_compound, _joined_in(text)))
    else:
        wanted = among.compounds[text]
    if not wanted:
        return
    for found in (_spaced(text) or _patterns()).joined.finditer(text):
        if found[0] in wanted:
            for term in _compound(found[0]):
                yield Term(term, *found.span())


def fold(word: str) -> str:
    """A word as it is compared: one form of each letter, without case, accents and marks.

    >>> fold("ZÜRICH"), fold("Straße"), fold("أحمد")
    ('zurich', 'strasse', 'احمد')
    """
    if word.isascii():
        return word.lower()
    folded = unicodedata.normalize("NFKC", _DROPPED.sub("", word)).casefold()
    if _ACCENTED.search(folded):
        folded = _without_accents(folded).translate(_FOLDED)
    return "".join(c for c in unicodedata.normalize("NFC", folded) if _belongs(c))


@_remembered
def _compound(found: str) -> tuple[str, ...]:
    """The terms of what was found joined; none where it is a plain word, or too long."""
    if len(found) > LONGEST_COMPOUND:
        return ()
    if not found.isascii():
        found = unicodedata.normalize("NFC", found.translate(_HYPHENS))
    parts = _JOINTS.split(found)
    if len(parts) == 1 and not _CAMEL.search(found):
        return ()
    # What a normal form makes of a letter may be a joint, or part the term in two: "⒈", "㈠".
    whole = "".join(part if place % 2 else fold(part) for place, part in enumerate(parts))
    whole = _BETWEEN_LETTERS.sub("", whole)
    if not any(map(str.isalnum, whole)):
        return ()
    word = (_stem(whole),) if not _JOINTS.search(whole) else ()
    running = word and _RUNNING.fullmatch(found) and not _CAMEL.search(found)
    return word if running else (*word, IDENTIFIER + whole)


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
    if point == _TATWEEL:
        return False
    return point.isalnum() or unicodedata.category(point) in ("Mn", "Mc")


def _is_clipped(run: str, before: str) -> bool:
    """Whether a run after an apostrophe is what that cut off a word, which ends with `before`."""
    if run.lower() not in _CLIPPED:
        return False
    return before.isalnum() or unicodedata.category(before)[0] == "M"


@_remembered
def _of_run(run: str) -> tuple[tuple[str, int, int], ...]:
    """(term, start, end) of the words of a run of letters and digits."""
    if not run.isascii():
        folded = fold(run)
        return ((_stem(folded), 0, len(run)),) if folded else ()
    if run.islower() or run.isupper() or run[1:].islower() or not run.isalpha():
        return ((_stem(run.lower()), 0, len(run)),)
    places = [0, *(found.start() for found in _CAMEL.finditer(run)), len(run)]
    return tuple((_stem(run[low:high].lower()), low, high) for low, high in pairwise(places))


@_remembered
def _terms_of(run: str) -> tuple[str, ...]:
    return tuple(term for term, _, _ in _of_run(run[:LONGEST_WORD]))


@_remembered
def _terms_between(text: str) -> tuple[str, str]:
    """As `terms`, of a text without white space."""
    whole = " ".join(chain.from_iterable(map(_compound, _joined_in(text))))
    spaced = _spaced(text)
    if spaced is None:
        return " ".join(term.text for term in words(text)), whole
    if any(apostrophe in text for apostrophe in _APOSTROPHES):
        text = spaced.clipped.sub(" ", text)
    return " ".join(chain.from_iterable(map(_terms_of, spaced.word.findall(text)))), whole


_character = _remembered(fold)


def _pairs(text: str, start: int, end: int, trailing: bool) -> Iterator[Term]:
    found = [
        (folded, character.start(), character.end())
        for character in _patterns().character.finditer(text, start, end)
        if (folded := _character(character[0][:LONGEST_WORD]))
    ]
    for first, second in pairwise(found):
        yield Term(first[0] + second[0], first[1], second[2])
    if found and (trailing or len(found) == 1):
        yield Term(*found[-1])


class _Stemmer(threading.local):
    """A thread's own: PyStemmer's objects must not be called by two at once."""

    def __init__(self) -> None:
        # Its own cache is slower than the one in front of it.
        self.stem = Stemmer.Stemmer("english", 0).stemWord


_stemmer = _Stemmer()


def _stem(word: str) -> str:
    if word.isascii() and word.isalpha():
        stemmed: str = _stemmer.stem(word[:LONGEST_WORD])
        return stemmed
    return word[:LONGEST_WORD]


class _Patterns(NamedTuple):
    word: Any
    joined: Any
    character: Any
    single: Any


@cache
def _patterns() -> _Patterns:
    import regex  # 20 ms with what is compiled, which most texts need not wait for

    scripts = ["Han", "Hira", "Kana", "Bopo", "Hang", "Yiii", "Thai", "Laoo", "Khmr", "Mymr"]
    unspaced = "[" + "".join(rf"\p{{scx={script}}}" for script in scripts) + "]"
    # A mark goes with what it stands on, whatever other scripts use it: the tilde is Thai, too.
    mark = rf"[\p{{M}}--[{_NOTHING}]]"
    runs = []
    for first in (rf"[[\p{{L}}\p{{N}}]&&{unspaced}]", rf"[[\p{{L}}\p{{N}}]--{unspaced}]"):
        part = f"[{first}{mark}]"
        runs.append(f"{first}{part}*(?:[{_NOTHING}]+{part}+)*")
    return _Patterns(
        regex.compile(f"(?P<unspaced>{runs[0]})|{runs[1]}", regex.VERSION1),
        regex.compile(_JOINED.format(part=rf"[\p{{L}}\p{{N}}{mark}_]"), regex.VERSION1),
        regex.compile(r"\X"),
        regex.compile(rf"(?={unspaced})\X", regex.VERSION1),
    )
