"""An evaluation as a person reads it: one table, and where the queries were lost and won."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ... import terminal
from .evaluation import Evaluation, Row
from .significance import LEVEL

NAME_COLUMNS = 30
GAP = "  "


def title(evaluation: Evaluation) -> str:
    """`scifact, test: 300 queries, 5,183 documents`; of one setting alone with its name."""
    of, rows = evaluation.collection, evaluation.rows
    parts = [
        of.name,
        *([of.split] if of.split else []),
        *([rows[0].name] if len(rows) == 1 else []),
    ]
    counted = terminal.plural(len(of.queries), "query", "queries")
    if evaluation.documents is not None:
        counted += f", {terminal.plural(evaluation.documents, 'document')}"
    return f"{', '.join(parts)}: {counted}"


def table(evaluation: Evaluation, room: int) -> Iterator[str]:
    """The title and the metrics, no line wider than `room` columns where that can be.

    A row has its means, and below them the differences to the first row with their p. Metrics that
    do not fit beside each other stand in blocks below each other.
    """
    yield title(evaluation)
    first, *others = evaluation.rows
    if not others:
        for name, value in first.metrics.items():
            yield f"{name:<12} {value:.4f}"
        return
    names = min(max(terminal.columns(row.name) for row in evaluation.rows), NAME_COLUMNS)
    labels = ["", first.name, *(label for row in others for label in (row.name, ""))]
    cells = {name: _cells(evaluation.rows, name) for name in first.values}
    widths = {name: max(map(len, column)) for name, column in cells.items()}
    for block in _blocks(widths, room - names):
        yield ""
        for label, *line in zip(labels, *(cells[name] for name in block), strict=True):
            shown = [cell.ljust(widths[name]) for name, cell in zip(block, line, strict=True)]
            yield GAP.join([terminal.fitted(label, names), *shown]).rstrip()
    yield ""
    yield from textwrap.wrap(_legend(evaluation), room)


def by_query(evaluation: Evaluation, count: int, room: int) -> Iterator[str]:
    """The queries that lose and win most against the first row; of one row alone, its worst.

    By the first metric, at most `count` each.
    """
    first, *others = evaluation.rows
    name, before = next(iter(first.values.items()))
    queries = evaluation.collection.queries
    if not others:
        worst = sorted(before, key=lambda id: before[id])[:count]
        yield ""
        yield f"{name:<10}  the lowest {len(worst)} of {len(before):,}"
        for id in worst:
            yield terminal.shortened(f"{before[id]:<10.4f}  {queries[id]}", room)
    for row in others:
        after = row.values[name]
        change = {id: after[id] - before[id] for id in before}
        down = sorted((id for id in change if change[id] < 0), key=lambda id: change[id])
        up = sorted((id for id in change if change[id] > 0), key=lambda id: -change[id])
        equal = len(change) - len(down) - len(up)
        yield ""
        counted = f"{len(down)} lost, {len(up)} won, {equal} equal"
        yield f"{name}, {row.name} against {first.name}: {counted}"
        for word, ids in (("lost", down), ("won", up)):
            if ids and count:
                yield f"{word:<8}  before   after"
            for id in ids[:count]:
                values = f"{change[id]:+8.4f}  {before[id]:.4f}  {after[id]:.4f}"
                yield terminal.shortened(f"{values}  {queries[id]}", room)


def _cells(rows: Sequence[Row], name: str) -> list[str]:
    """The column of a metric: its name, the first row's mean, then two lines for each row."""
    column = [f" {name}", f" {rows[0].metrics[name]:.4f}"]  # a blank above the sign
    for row in rows[1:]:
        one = row.versus[name]
        mark = "*" if one.adjusted < LEVEL else ""
        column += [f" {row.metrics[name]:.4f}", f"{one.mean:+.4f} {_p(one.adjusted)}{mark}"]
    return column


def _p(value: float) -> str:
    """`p=.012`; what three digits do not show is said to be smaller, not 0."""
    if value < 0.001:
        return "p<.001"
    return "p=1" if value >= 0.9995 else f"p={value:.3f}".replace("0.", ".", 1)


def _blocks(widths: Mapping[str, int], room: int) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for name, width in widths.items():
        used = sum(widths[other] + len(GAP) for other in blocks[-1])
        if blocks[-1] and used + len(GAP) + width > room:
            blocks.append([])
        blocks[-1].append(name)
    return blocks


def _legend(evaluation: Evaluation) -> str:
    rows = len(evaluation.rows) - 1
    holm = f", with Holm's correction for {rows} rows" if rows > 1 else ""
    return (
        f"Below a value: its difference to {evaluation.rows[0].name}, and p of a paired"
        f" randomisation test over the queries{holm}; * is p < {LEVEL}."
    )
