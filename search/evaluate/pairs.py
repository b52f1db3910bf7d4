"""A file of one's own: `query <tab> path` on a line, several lines for several right answers."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from ...index.errors import UsageError
from ...index.sources import file_id, resolved
from .lines import bad_line, numbered_lines
from .metrics import Qrels

HEADER = ("query", "path")
COMMENT = "#"
SHOWN = 5


def read_pairs(path: Path, index: Path, known: Sequence[str]) -> Qrels:
    """Query -> document id -> relevance: the third field, or 1 where there is none.

    A query's id is its text, so that files of runs stay right when lines are added. A path is a
    document's id as `known` has it, or the path of its file, from the working folder. Lines that
    begin with # and a first line that names the columns are passed over.

    UsageError where the file cannot be read or holds none, a line is none, two lines contradict
    each other, or a path is no document of the `index`.
    """
    documents = set(known)
    home = os.path.realpath(index.parent)
    qrels: Qrels = {}
    unknown: list[tuple[int, str]] = []
    first = True
    for number, line in numbered_lines(path):
        if line.startswith(COMMENT):
            continue
        fields = tuple(field.strip() for field in line.split("\t"))
        header, first = first and tuple(map(str.lower, fields[:2])) == HEADER, False
        if header:
            continue
        query, named, relevance = _judgment(path, number, line, fields)
        if named in documents:
            document = named
        else:
            document = file_id(resolved(os.path.expanduser(named)), home)
            if document not in documents:
                unknown.append((number, named))
                continue
        judged = qrels.setdefault(query, {})
        if judged.setdefault(document, relevance) != relevance:
            raise bad_line(path, number, line, f"what an earlier line says: {judged[document]}")
    if unknown:
        raise UsageError(_unknown(path, index, unknown, known))
    if not qrels:
        raise UsageError(
            f"{path} holds no judgments: write lines of a query, a tab, and the path of the file"
            " that answers it"
        )
    return qrels


def _judgment(path: Path, number: int, line: str, fields: tuple[str, ...]) -> tuple[str, str, int]:
    expected = "a query, a tab, a path, and perhaps a tab and a whole number from 0"
    if not 2 <= len(fields) <= 3 or not all(fields):
        raise bad_line(path, number, line, expected)
    relevance = fields[2] if len(fields) == 3 else "1"
    if not (relevance.isascii() and relevance.isdecimal() and len(relevance) < 10):
        raise bad_line(path, number, line, expected)
    return fields[0], fields[1], int(relevance)


def _unknown(
    path: Path, index: Path, unknown: Sequence[tuple[int, str]], known: Sequence[str]
) -> str:
    lines = []
    for number, named in unknown[:SHOWN]:
        close = _close(named, known)
        hint = f"; there is {', '.join(map(repr, close))}" if close else ""
        lines.append(f"{path}, line {number}: no document {named!r} in the index{hint}")
    more = f"\nand {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return "\n".join(lines) + (
        f"{more}\nThe index is {str(index)!r}: `clsearch search` shows the ids of what it finds;"
        " name another with --index"
    )


def _close(named: str, known: Sequence[str]) -> list[str]:
    """Ids that may be meant: the records of that file, those of the same name, those alike."""
    name = os.path.basename(named)
    same = [id for id in known if id.startswith(f"{named}#") or id.endswith(f"/{name}")]
    return same[:3] or difflib.get_close_matches(named, known)
