"""What an expression is once it is read: fields, tests of their values, and how they combine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = str | int | float | bool
Operator = Literal["=", "<", "<=", ">", ">="]
Type = Literal["json", "text", "number", "time"]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the tables, or a path of keys into the metadata: type json, no column."""

    type: Type
    column: str = ""
    path: tuple[str, ...] = ()


_ID = Field("text", "d.id")
_MTIME = Field("time", "d.mtime")

# The tables are those of docs/index-format.md: d is documents, p is passages.
BUILT_IN = {
    "id": _ID,
    "path": _ID,
    "title": Field("text", "d.title"),
    "source": Field("text", "(SELECT s.name FROM sources s WHERE s.id = d.source)"),
    "size": Field("number", "d.size"),
    "mtime": _MTIME,
    "modified": _MTIME,
    "heading": Field("text", "p.heading"),
    "line": Field("number", "p.line"),
    "page": Field("number", "p.page"),
}


@dataclass(frozen=True, slots=True)
class Compare:
    """The value is of the type of `value`, and stands so to it."""

    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Between:
    """The value is neither below `low` nor above `high`, which are of one type."""

    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class Among:
    """The value equals one of these."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """The value is text and matches: `%` any text, `_` any character, `\\` takes the next as is."""

    pattern: str


Test: TypeAlias = Compare | Between | Among | Like


@dataclass(frozen=True, slots=True)
class Has:
    """The field's value, or an element of it where it is a list, passes one of the tests."""

    field: Field
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class There:
    """The field is there and is not null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false."""

    part: Node


@dataclass(frozen=True, slots=True)
class Join:
    """All parts are true (and), or one at least (or). Two parts or more."""

    word: Literal["AND", "OR"]
    parts: tuple[Node, ...]


Node: TypeAlias = Has | There | Not | Join
