"""An expression -> its tree, by recursive descent.

either     = both {"or" both}
both       = negated {"and" negated}
negated    = {"not"} ("(" either ")" | condition)
condition  = field ( sign value | "is" ["not"] "null"
                   | ["not"] ( "like" text | "in" "(" value {"," value} ")"
                             | "between" value "and" value ) )
field      = name {"." name}
value      = text | number | "true" | "false" | "date" text
"""

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal, cast

from .tokens import Token, tokens, wrong
from .tree import (
    BUILT_IN,
    Among,
    Between,
    Compare,
    Field,
    Has,
    Join,
    Like,
    Node,
    Not,
    Operator,
    There,
    Value,
)

# What SQLite before 3.46 can parse: its stack holds 100 symbols.
MAX_NESTING = 32
# SQLite refuses longer patterns.
MAX_PATTERN_BYTES = 50_000
# Each key of a path is a table of a join, of which SQLite takes 64.
MAX_KEYS = 30
# More than any finite number needs.
MAX_DIGITS = 400

_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SIGNS = ("=", "!=", "<", "<=", ">", ">=")
_A_FIELD = "the name of a field was expected"
_A_VALUE = "a value was expected: 'text', 2020, true, false or date '2024-05-01'"
_A_TIME = "write '2024-05-01' or '2024-05-01 18:30'"
_AN_OPERATOR = "=, !=, <, <=, >, >=, like, in, between or is was expected"


def parse_expression(text: str) -> Node:
    """The tree of an expression. Raises `UsageError` where it cannot be read."""
    # What the index could not hold either, it holds in this way.
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    if "\0" in text:
        raise wrong(text, text.index("\0"), "a filter holds no NUL character")
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = next(self._tokens)
        self._nesting = 0

    def whole(self) -> Node:
        node = self._either()
        if self._next.kind != "end":
            raise self._wrong("and, or or the end was expected")
        return node

    def _either(self) -> Node:
        return self._joined("OR", self._both)

    def _both(self) -> Node:
        return self._joined("AND", self._negated)

    def _joined(self, word: Literal["AND", "OR"], part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self._take("keyword", word.lower()):
            parts.append(part())
        return Join(word, tuple(parts)) if len(parts) > 1 else parts[0]

    def _negated(self) -> Node:
        negated = False
        while self._take("keyword", "not"):
            negated = not negated
        node = self._enclosed() if self._at("sign", "(") else self._condition()
        return Not(node) if negated else node

    def _enclosed(self) -> Node:
        if self._nesting == MAX_NESTING:
            raise self._wrong(f"parentheses stand {MAX_NESTING} deep at most")
        self._nesting += 1
        self._expect("(")
        node = self._either()
        self._expect(")")
        self._nesting -= 1
        return node

    def _condition(self) -> Node:
        field = self._field()
        if self._next.kind == "sign" and self._next.value in _SIGNS:
            return self._comparison(field)
        if self._take("keyword", "is"):
            there = self._take("keyword", "not")
            if not self._take("keyword", "null"):
                raise self._wrong("null was expected" if there else "null or not null was expected")
            return There(field) if there else Not(There(field))
        if not self._take("keyword", "not"):
            return self._test(field)
        return Join("AND", (There(field), Not(self._test(field))))

    def _comparison(self, field: Field) -> Node:
        start = self._next.start
        sign = self._advance().value
        if self._at("keyword", "null"):
            raise self._wrong("nothing equals null: write `is null` or `is not null`")
        value = self._value(field)
        if isinstance(value, bool) and sign not in ("=", "!="):
            raise wrong(self._text, start, "true and false have no order: write = or !=")
        if sign != "!=":
            return Has(field, (Compare(cast(Operator, sign), value),))
        return Join("AND", (There(field), Not(Has(field, (Compare("=", value),)))))

    def _test(self, field: Field) -> Has:
        start = self._next.start
        if self._take("keyword", "like"):
            return Has(field, (Like(self._pattern(field)),))
        if self._take("keyword", "in"):
            self._expect("(")
            values = [self._value(field)]
            while self._take("sign", ","):
                values.append(self._value(field))
            self._expect(")", "a comma or the closing parenthesis was expected")
            return Has(field, (Among(tuple(values)),))
        if self._take("keyword", "between"):
            low = self._value(field)
            if not self._take("keyword", "and"):
                raise self._wrong("and was expected, as in: year between 2010 and 2020")
            high = self._value(field)
            texts = isinstance(low, str) and isinstance(high, str)
            if not texts and not (_is_number(low) and _is_number(high)):
                raise wrong(self._text, start, "between takes two numbers or two texts")
            return Has(field, (Between(low, high),))
        raise self._wrong(_AN_OPERATOR)

    def _pattern(self, field: Field) -> str:
        if field.type in ("number", "time"):
            raise self._wrong("this field holds a number, which like does not match")
        token = self._next
        if token.kind != "text":
            raise self._wrong("a pattern in single quotes was expected, as in: path like 'notes/%'")
        if len(token.value.encode()) > MAX_PATTERN_BYTES:
            raise self._wrong(f"a pattern has {MAX_PATTERN_BYTES} bytes at most")
        return self._advance().value

    def _field(self) -> Field:
        token = self._next
        if token.kind not in ("word", "name"):
            raise self._wrong(_A_FIELD)
        path = [self._advance()]
        while self._take("sign", "."):
            if self._next.kind not in ("word", "name", "keyword"):
                raise self._wrong("a key was expected after the dot")
            path.append(self._advance())
        first, names = path[0], [_name(part) for part in path]
        if len(path) == 1 and first.kind == "word" and first.value in BUILT_IN:
            return BUILT_IN[first.value]
        if len(path) > 1 and first.kind == "word" and first.value == "metadata":
            del names[0]
        if len(names) > MAX_KEYS:
            raise wrong(self._text, first.start, f"a path has {MAX_KEYS} keys at most")
        return Field("json", path=tuple(names))

    def _value(self, field: Field) -> Value:
        start = self._next.start
        value = self._literal()
        # Of a column it is known that no value of another type will ever match.
        if field.type == "time" and isinstance(value, str):
            return self._time(value, start)
        if field.type == "time" and isinstance(value, bool):
            raise wrong(self._text, start, f"this field holds a time: {_A_TIME}")
        if field.type == "number" and not _is_number(value):
            raise wrong(self._text, start, "this field holds a number: write one, without quotes")
        if field.type == "text" and isinstance(value, bool):
            raise wrong(self._text, start, "this field holds text: write it in single quotes")
        return value

    def _literal(self) -> Value:
        token = self._next
        if token.kind == "number":
            return self._number()
        if token.kind == "text":
            return self._advance().value
        if token.kind == "keyword" and token.value in ("true", "false"):
            return self._advance().value == "true"
        if token.kind == "word" and token.value.lower() == "date":
            self._advance()
            if self._next.kind != "text" or _moment(self._next.value) is None:
                raise self._wrong(f"a date was expected: {_A_TIME}")
            return self._advance().value
        if token.kind == "name":
            raise self._wrong("text stands in single quotes, double quotes are for names")
        raise self._wrong(_A_VALUE)

    def _number(self) -> int | float:
        written = self._next.value
        if not _NUMBER.fullmatch(written):
            raise self._wrong("this is no number; text and dates stand in single quotes")
        number = float(written)
        if math.isinf(number) or len(written) > MAX_DIGITS:
            raise self._wrong("this number is too large, or too long")
        self._advance()
        return number if set(written) & set(".eE") else int(written)

    def _time(self, value: str, start: int) -> float:
        """Seconds since the epoch; a time without a zone is local."""
        moment = _moment(value)
        if moment is None:
            raise wrong(self._text, start, f"this field holds a time: {_A_TIME}")
        try:
            return moment.timestamp()
        except (OverflowError, ValueError, OSError) as error:
            raise wrong(self._text, start, "this system knows no such time") from error

    def _at(self, kind: str, value: str) -> bool:
        return self._next.kind == kind and self._next.value == value

    def _take(self, kind: str, value: str) -> bool:
        if self._at(kind, value):
            self._advance()
            return True
        return False

    def _expect(self, sign: str, message: str = "") -> None:
        if not self._take("sign", sign):
            raise self._wrong(message or f"{sign} was expected")

    def _advance(self) -> Token:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _wrong(self, message: str) -> Exception:
        return wrong(self._text, self._next.start, message)


def _name(part: Token) -> str:
    """A keyword may be a key after a dot, and is not folded there."""
    return part.value if part.kind == "name" else part.written


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moment(text: str) -> datetime | None:
    """A date or a time in ISO 8601's form with dashes, which sorts as text; None for any other."""
    if not _ISO.match(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
