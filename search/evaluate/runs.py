"""TREC run files: `query Q0 document rank score tag`, a line for each document that was found.

Blanks separate the fields, so an id with a blank in it is written percent-encoded (`a%20b`, and
its `%` as `%25`), and is known by that form again. All other ids stand as they are.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ...index.errors import UsageError
from .lines import SHOWN
from .metrics import Qrels, Run, by_places, ordered

TAG = "clsearch"
# What C's isspace takes for a blank, and with it trec_eval.
_BLANKS = frozenset(" \t\n\v\f\r")


def encoded(id: str) -> str:
    """An id as it stands in a run file.

    >>> encoded("my notes/50%.md"), encoded("50%.md")
    ('my%20notes/50%25.md', '50%.md')
    """
    if not _BLANKS & set(id):
        return id
    return "".join(quote(one, safe="") if one in _BLANKS or one == "%" else one for one in id)


def write_run(path: Path, run: Mapping[str, Mapping[str, float]], tag: str = TAG) -> None:
    """Write a run, best document first; read again, it has the same order.

    Scores that do not fall from line to line (trec_eval compares them in single precision, and
    orders equal ones by document id) are replaced by the number of lines that are left.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query, scores in run.items():
            documents = ordered(scores)
            singles = np.array([scores[id] for id in documents], np.float32)
            falling = scores if bool(np.all(singles[1:] < singles[:-1])) else by_places(documents)
            for rank, id in enumerate(documents, start=1):
                fields = (encoded(query), "Q0", encoded(id), rank, repr(falling[id]), encoded(tag))
                file.write(" ".join(map(str, fields)) + "\n")


def run_files(target: Path, names: Sequence[str]) -> list[Path]:
    """A file for each name: `target` itself for one, else `NAME.run` in that folder, which is made.

    UsageError where that cannot be.
    """
    if len(names) == 1 and not target.is_dir():
        if not target.parent.is_dir():
            raise UsageError(
                f"there is no folder {str(target.parent)!r} to write a run to; make it"
            )
        return [target]
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"{str(target)!r}: {reason}; several runs go to a folder: name another with --save-run"
        ) from error
    plain = [re.sub(r"[^\w.@+-]+", "-", name) for name in names]
    if len(set(plain)) < len(plain):
        plain = [f"{name}-{number}" for number, name in enumerate(plain, start=1)]
    return [target / f"{name}.run" for name in plain]


def read_run(path: Path, qrels: Qrels) -> Run:
    """The run of a file, to be measured as trec_eval would: ranks are ignored, scores count.

    Ids of `qrels` that have blanks are known by their encoded form. UsageError where a line has
    not six fields or its score is no number, where a document is there twice for a query, or where
    none of the queries is in `qrels`.
    """
    queries = _by_encoded(qrels)
    documents = {query: _by_encoded(judged) for query, judged in qrels.items()}
    run: Run = {}
    for number, fields in _lines(path):
        query, _, document, _, score, _ = fields
        query = queries.get(query, query)
        document = documents.get(query, {}).get(document, document)
        found = run.setdefault(query, {})
        if document in found:
            raise UsageError(
                f"{path}, line {number}: {document!r} was found already for the query {query!r}:"
                " a run names a document once for each query"
            )
        found[document] = _number(score, path, number)
    if not run.keys() & qrels.keys():
        some = f": it has {min(run)!r}, they have {min(qrels)!r}" if run else ": it has none"
        raise UsageError(f"{path} answers none of the {len(qrels)} judged queries{some}")
    return run


def _by_encoded(ids: Iterable[str]) -> dict[str, str]:
    return {encoded(id): id for id in ids if encoded(id) != id}


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, six fields); bytes are split, for only C's blanks separate."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                fields = [field.decode("utf-8", "backslashreplace") for field in line.split()]
                if fields and len(fields) != 6:
                    shown = line.rstrip().decode("utf-8", "replace")[:SHOWN]
                    raise UsageError(
                        f"{path}, line {number}: {shown!r} is not a line of a TREC run:"
                        " query Q0 document rank score tag"
                    )
                if fields:
                    yield number, fields
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"the run {path} cannot be read: {reason}; check the path") from error


def _number(text: str, path: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise UsageError(f"{path}, line {number}: the score {text!r} is no finite number")
    return value
