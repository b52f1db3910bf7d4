"""BEIR's layout: `corpus.jsonl`, and `passages.jsonl` with the vectors beside it.

What loads BEIR takes `_id`, `title` and `text` and passes over the rest. Queries and judgments, a
collection's other half, are not in an index.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from . import jsonl
from .origin import Origin
from .records import Incoming, Outgoing, left_over, out_of_order, read_count, read_mtime

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
        count = read_count(where, record.get("passages"))
        vectors = {}
        if use:
            own = list(islice(passages, count))
            found = [passage.get("document") for _, _, passage in own]
            if len(found) != count or {*found} - {document.id}:
                raise out_of_order(beside, document.id, count)
            vectors = jsonl.vectors_of(where, [one for _, _, one in own], origin.dimension)
        yield Incoming(where, document, read_mtime(where, record.get("mtime")), vectors)
    if next(passages, None) is not None:
        raise left_over(beside)
