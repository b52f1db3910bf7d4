"""An expression as tokens, each with its place."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ...index.errors import UsageError

KEYWORDS = {"and", "or", "not", "in", "like", "between", "is", "null", "true", "false"}

# A number takes all that touches it, so that 2024-05-01 and 5kg are wrong as a whole.
_TOKENS = re.compile(
    r"""(?P<text>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*")
      | (?P<number>[-+]?[0-9][\w.+-]*)
      | (?P<sign>==|!=|<>|<=|>=|[=<>(),.])""",
    re.VERBOSE,
)
# Both `=` and `==`, both `!=` and `<>` are in use; one of each goes on.
_SAME = {"==": "=", "<>": "!="}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression, `start` its offset.

    `value` is without quotes; a keyword's is in small letters. `written` is as it was written.
    """

    kind: Literal["text", "name", "number", "sign", "word", "keyword", "end"]
    value: str
    start: int
    written: str


def wrong(text: str, start: int, message: str) -> UsageError:
    """The error for something at an offset: the place, the text there, what to do, an example."""
    here = text[start : start + 20]
    place = f"at character {start + 1}, {here!r}" if here else "at its end"
    return UsageError(
        f"the filter cannot be read {place}: {message}. "
        "An example: lang = 'en' and year >= 2020 and tag in ('a', 'b')"
    )


def tokens(text: str) -> Iterator[Token]:
    """The tokens of an expression, an `end` the last. Raises `UsageError` for what is none."""
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKENS.match(text, place)
        token = _matched(match) if match else _word(text, place)
        yield token
        place += len(token.written)
    yield Token("end", "", len(text), "")


def _matched(match: re.Match[str]) -> Token:
    written = match[0]
    if match["sign"]:
        return Token("sign", _SAME.get(written, written), match.start(), written)
    if match["number"]:
        return Token("number", written, match.start(), written)
    quote = written[0]
    value = written[1:-1].replace(quote * 2, quote)
    return Token("text" if match["text"] else "name", value, match.start(), written)


def _word(text: str, start: int) -> Token:
    end = start
    while end < len(text) and _in_word(text[end]):
        end += 1
    written = text[start:end]
    if not written or written[0] == "-":
        if text[start] in "'\"":
            raise wrong(text, start, "this quote is never closed; a quote within is doubled")
        raise wrong(
            text, start, "this character means nothing here; put odd names in double quotes"
        )
    keyword = written.lower() in KEYWORDS
    return Token(
        "keyword" if keyword else "word", written.lower() if keyword else written, start, written
    )


def _in_word(character: str) -> bool:
    """Letters, digits and marks of any script (a mark is part of its letter), `_` and `-`."""
    return character in "_-" or character.isalnum() or unicodedata.category(character)[0] == "M"
