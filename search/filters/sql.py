"""The tree of an expression -> one boolean SQL expression with its values bound.

Of the metadata it reads rows, not paths: `json_each` gives key, type and value of each member, so a
key is compared as it is, whatever is in it. SQLite's JSON paths cannot name every key.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from ...index.types import Filter
from .tree import Among, Compare, Field, Has, Like, Node, Not, Test, There, Type, Value

# Joined at a stretch: SQLite takes expressions of depth 1000, and a chain of n has depth n.
STRETCH = 20

INT64 = range(-(2**63), 2**63)

Parameter = str | int | float


class Sql(NamedTuple):
    """An expression and its parameters, in the order of the question marks.

    `depth` counts the joins within joins.
    """

    text: str
    parameters: tuple[Parameter, ...]
    depth: int = 0


def written(node: Node) -> Filter:
    """The filter of a tree."""
    text, parameters, _ = _node(node, negated=False)
    return Filter(text, parameters)


def _node(node: Node, negated: bool) -> Sql:
    """A node or its complement: negations go down to the leaves, where null becomes false first."""
    if isinstance(node, Not):
        return _node(node.part, not negated)
    if isinstance(node, Has | There):
        text, parameters, _ = _has(node) if isinstance(node, Has) else _there(node.field)
        return Sql(f"({text}) IS NOT TRUE" if negated else text, parameters)
    parts = _merged(node.parts) if node.word == "OR" else list(node.parts)
    word = {"AND": "OR", "OR": "AND"}[node.word] if negated else node.word
    return _joined(word, [_node(part, negated) for part in parts])


def _merged(parts: Sequence[Node]) -> list[Node]:
    """Alternatives with those of one field in one, whose value is then looked up once."""
    tests: dict[Field, list[Test]] = {}
    others: list[Node] = []
    for part in parts:
        if isinstance(part, Has):
            tests.setdefault(part.field, []).extend(part.tests)
        else:
            others.append(part)
    return [*(Has(field, tuple(those)) for field, those in tests.items()), *others]


def _joined(word: str, parts: list[Sql]) -> Sql:
    # The deepest first: SQLite's parser then keeps one symbol for each level, and not three.
    parts = sorted(parts, key=lambda part: -part.depth)
    while len(parts) > 1:
        groups = [parts[start : start + STRETCH] for start in range(0, len(parts), STRETCH)]
        parts = [_group(word, group) for group in groups]
    return parts[0]


def _group(word: str, parts: Sequence[Sql]) -> Sql:
    if len(parts) == 1:
        return parts[0]
    text = f" {word} ".join(part.text for part in parts)
    parameters = tuple(parameter for part in parts for parameter in part.parameters)
    return Sql(f"({text})", parameters, parts[0].depth + 1)


def _there(field: Field) -> Sql:
    if field.type != "json":
        return Sql(f"{field.column} IS NOT NULL", ())
    last, tables, keys = _members(field)
    text = f"EXISTS (SELECT 1 FROM {tables} WHERE {last}.key = ? AND {last}.type <> 'null')"
    return Sql(text, keys)


def _has(node: Has) -> Sql:
    field = node.field
    if field.type != "json":
        return _joined("OR", [_test(test, field.column, field.type) for test in node.tests])
    last, tables, keys = _members(field)
    test = _joined("OR", [_test(test, "v.value", "json") for test in node.tests])
    # A list stands for its elements, anything else for itself.
    text = (
        "EXISTS (SELECT 1 FROM ("
        f"SELECT {last}.type, {last}.value FROM {tables}"
        f" WHERE {last}.key = ? AND {last}.type <> 'array'"
        f" UNION ALL SELECT e.type, e.value FROM {tables},"
        f" json_each(CASE WHEN {last}.key = ? AND {last}.type = 'array' THEN {last}.value END) e"
        f") v WHERE {test.text})"
    )
    return Sql(text, keys + keys + test.parameters)


def _members(field: Field) -> tuple[str, str, tuple[str, ...]]:
    """(name of the last table, tables, keys): the members of the object that the path leads to.

    The keys are the parameters, the last of them for what follows: `name.key = ?`.
    """
    tables = ["json_each(d.metadata) m0"]
    for level in range(1, len(field.path)):
        above = f"m{level - 1}"
        tables.append(
            f"json_each(CASE WHEN {above}.key = ? AND {above}.type = 'object'"
            f" THEN {above}.value END) m{level}"
        )
    return f"m{len(field.path) - 1}", ", ".join(tables), field.path


def _test(test: Test, value: str, type: Type) -> Sql:
    """The test of a value that is in a column of a type, or in `v`, a row of `json_each`."""
    is_text = "v.type = 'text' AND " if type == "json" else ""
    if isinstance(test, Like):
        return Sql(f"{is_text}{value} LIKE ? ESCAPE '\\'", (test.pattern,))
    if isinstance(test, Among):
        return _among(test.values, value, type)
    if isinstance(test, Compare):
        if isinstance(test.value, bool):
            return Sql("v.type = ?", (_json(test.value),))
        bounds = [(test.operator, test.value)]
    else:
        bounds = [(">=", test.low), ("<=", test.high)]
    if isinstance(bounds[0][1], str):
        text = " AND ".join(f"{value} {operator} ?" for operator, _ in bounds)
        return Sql(is_text + text, tuple(bound for _, bound in bounds))
    number = _number(value, type)
    sides = [_bound(bound, type) for _, bound in bounds]
    pairs = zip(bounds, sides, strict=True)
    text = " AND ".join(f"{number} {operator} {side.text}" for (operator, _), side in pairs)
    return Sql(text, tuple(parameter for side in sides for parameter in side.parameters))


def _among(values: Sequence[Value], value: str, type: Type) -> Sql:
    """One parameter for all texts, one for all numbers: SQLite limits how many there are."""
    texts = [one for one in values if isinstance(one, str)]
    booleans = {_json(one) for one in values if isinstance(one, bool)}
    numbers = [one for one in values if not isinstance(one, str | bool)]
    listed = "IN (SELECT value FROM json_each(?))"
    parts = []
    if texts:
        is_text = "v.type = 'text' AND " if type == "json" else ""
        parts.append(Sql(f"{is_text}{value} {listed}", (_json(texts),)))
    if numbers:
        parts.append(Sql(f"{_number(value, type)} {listed}", (_json(numbers),)))
    if booleans:
        parts.append(Sql("v.type IN (SELECT value FROM json_each(?))", (_json(sorted(booleans)),)))
    return _group("OR", parts)


def _number(value: str, type: Type) -> str:
    """The value as a number, null where it is none. `CASE` tells SQLite what to look at first."""
    if type in ("number", "time"):
        return value
    of_text = (
        f"CASE WHEN json_valid({value}) THEN CASE WHEN json_type({value}) IN ('integer', 'real')"
        f" THEN CAST({value} AS NUMERIC) END END"
    )
    if type == "text":
        return of_text
    return (
        f"CASE v.type WHEN 'integer' THEN {value} WHEN 'real' THEN {value}"
        f" WHEN 'text' THEN {of_text} END"
    )


def _bound(number: Value, type: Type) -> Sql:
    """A parameter that equals the number as the index holds it."""
    if isinstance(number, int) and number in INT64:
        return Sql("?", (number,))
    if type in ("number", "time"):
        return Sql("?", (float(number),))
    # SQLite's own reading of decimals can differ from Python's in the last bit: it reads both.
    return Sql("CAST(? AS REAL)", (str(number),))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
