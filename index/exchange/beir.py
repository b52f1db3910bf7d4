"""BEIR's layout: `corpus.jsonl`, and `passages.jsonl` with the vectors beside it.

What loads BEIR takes `_id`, `title` and `text` and passes over the rest. Queries and judgments, a
collection's other half, are not in an index.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..errors import UsageError
from . import jsonl
from .origin import Origin
from .records import Incoming, Outgoing, bad, read_mtime

DOCUMENTS = "corpus.jsonl"
PASSAGES = "passages.jsonl"


def write(folder: Path, outgoing: Iterable[Outgoing], origin: Origin) -> None:
    """Both files, in the same order; `passages` of a document counts them."""
    with (
        (folder / DOCUMENTS).open("w", encoding="utf-8") as corpus,
        (folder / PASSAGES).open("w", encoding="utf-8") as passages,
    ):
        for one in outgoing:
            values = {
                "_id": one.document.id,
                **jsonl.document_values(one),
                "passages": len(one.passages),
            }
            corpus.write(json.dumps(values, ensure_ascii=False) + "\n")
            for passage in one.passages:
                passages.write(jsonl.passage_text(passage, {"document": one.document.id}) + "\n")


def read(file: Path, origin: Origin | None, fingerprint: str) -> Iterator[Incoming]:
    """As `jsonl.read`, with the vectors of the file beside."""
    if origin is None:
        yield from jsonl.read(file, None, fingerprint)
        return
    use = origin.fingerprint == fingerprint
    beside = file.with_name(PASSAGES)
    passages = jsonl.records(beside) if use else iter(())
    for _, where, record in jsonl.records(file):
        document = jsonl.document_of(where, record, "_id")
        count = record.get("passages")
        if not isinstance(count, int):
            raise bad(where, "passages", count, "a number")
        vectors = {}
        if use:
            own = list(islice(passages, count))
            if [passage.get("document") for _, _, passage in own] != [document.id] * count:
                raise out_of_order(beside, document.id, count)
            vectors = jsonl.vectors_of(where, [one for _, _, one in own], origin.dimension)
        yield Incoming(where, document, read_mtime(where, record.get("mtime")), vectors)


def out_of_order(file: Path, document: str, count: int) -> UsageError:
    """The error of passages that do not stand as their documents do."""
    return UsageError(
        f"{file}: the {count} passages of {document!r} do not follow where its turn is: both files "
        "must have the same documents in the same order. Export again, or remove the export.json "
        "beside them: then passages are encoded anew."
    )
