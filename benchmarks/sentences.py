"""Does the sentence that a snippet marks answer?

    python benchmarks/sentences.py COLLECTION --index FOLDER [--most 200]

COLLECTION is a folder in BEIR's layout whose queries say in their metadata which sentences of a
document bear on them (SciFact: document -> [{"sentences": [numbers]}]), or what the answer is
("answer": a string; right is a sentence that has it). Its index is made in FOLDER, and used again.
Of documents with more than one sentence, how often the chosen one is right: by the query's words
alone, by words and what is like them (as searches choose), by the cosine of each sentence to the
query, and the first.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clsearch import Encoder, Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.search.evaluate import beir
from clsearch.search.lexical import Lexical
from clsearch.search.likeness import Likeness
from clsearch.search.query import plain
from clsearch.search.snippets import sentences, snippets_of

AROUND = 500  # code points on each side of an answer


def judged(collection: Path) -> Iterator[tuple[str, str, str, set[int]]]:
    """Yield (query, title, text, places of the sentences that are right)."""
    documents = {document.id: document for document in beir.read_corpus(collection)}
    qrels = beir.read_qrels(collection, "test")
    with (collection / "queries.jsonl").open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            known = record["metadata"]
            for id in qrels.get(record["_id"], {}) if "answer" in known else known:
                text, title = documents[id].text, documents[id].title
                if "answer" in known:
                    answer = str(known["answer"]).lower()
                    at = text.lower().find(answer)
                    text = text[max(0, at - AROUND) : at + AROUND] if at >= 0 else ""
                    spans = sentences(text)
                    right = {n for n, (s, e) in enumerate(spans) if answer in text[s:e].lower()}
                else:
                    right = {number for one in known[id] for number in one["sentences"]}
                    right = {number for number in right if number < len(sentences(text))}
                if right and len(sentences(text)) > 1:
                    yield record["text"], title, text, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--most", type=int, default=200)
    arguments = parser.parse_args()
    if not arguments.index.exists():
        with Index.open(arguments.index) as made:
            made.add(beir.read_corpus(arguments.collection))
    cases = list(judged(arguments.collection))
    random.Random(1).shuffle(cases)
    cases = cases[: arguments.most]
    encoder = Encoder.load()
    right: Counter[str] = Counter()
    with Snapshot.open(arguments.index) as snapshot:
        for text, title, said, wanted in cases:
            query, spans = plain(text), sentences(said)
            weights = Lexical(snapshot, query).weights
            asked = [(said, {title})], weights, query.whole
            encoded = encoder.encode_passages([said[slice(*span)] for span in spans])
            cosines = encoded @ encoder.encode_queries([text])[0]
            chosen = {
                "words": snippets_of(*asked)[0].sentence,
                "words and their like": snippets_of(*asked, Likeness(query.text, weights, encoder))[
                    0
                ].sentence,
                "cosines": spans[int(cosines.argmax())],
                "the first": spans[0],
            }
            right.update(name for name, span in chosen.items() if spans.index(span) in wanted)
    print(f"{len(cases)} documents\n\n{'chosen by':<20}  {'right':>6}")
    for name in chosen:
        print(f"{name:<20}  {right[name] / len(cases):>6.3f}")


if __name__ == "__main__":
    main()
