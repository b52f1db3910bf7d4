"""Filters: which passages may answer? `parse` turns an expression into SQL for `Snapshot.matching`.

The language is described in docs/filters.md. What an expression means:

- Every expression is true or false of a passage, nothing between. A comparison is true where the
  field is there, is not null, and holds a value of a type that can be compared with what is given:
  text with text (by code point), numbers with numbers and with text that is a number as JSON writes
  it, `true` and `false` with booleans. An object compares with nothing.
- A list satisfies a comparison where one of its elements does. Lists within lists do not count.
- `!=`, `not in`, `not like` and `not between` are true where the field is there, is not null, and
  the comparison without the `not` is false. `not (…)` is true wherever `…` is false.
- `is null` is true where the field is missing or null.

A bare name is one of `BUILT_IN`, else a key of the metadata; `author.name` is the key `name` of the
object at `author`. A key that is named like a built-in field is reached as `metadata.path`, or
quoted, as any key can be: `"path"`, `"odd key"."and.dot"`.
"""

from ...index.types import Filter
from .parser import parse_expression
from .sql import written
from .tree import BUILT_IN

__all__ = ["BUILT_IN", "Filter", "parse"]


def parse(text: str) -> Filter:
    """The filter that `text` describes, with every value of it bound, none in the SQL.

    >>> parse("lang = 'en' and size < 5000").parameters
    ('lang', 'lang', 'en', 5000)

    Raises `UsageError` with the place, what was expected there and an example, where it cannot be
    read. A name that is misspelt is a key that no document has, and no error.
    """
    return written(parse_expression(text))
