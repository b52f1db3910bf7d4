"""Does the sentence that a snippet marks answer? By words, and by vectors where words are few.

    python benchmarks/sentences.py COLLECTION --index FOLDER [--most 200]

COLLECTION is a folder in BEIR's layout whose queries say in their metadata which sentences of a
document bear on them (SciFact: document -> [{"sentences": [numbers]}]), or what the answer is
("answer": a string; right is a sentence that has it). Its index is made in FOLDER, and used again.
For each bound on the share of a query's words below which sentences are encoded: how often the
sentence is right, of documents with more than one, and for how many a vector was asked for.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from clsearch import Encoder, Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import snippets
from clsearch.search.evaluate import beir
from clsearch.search.lexical import Lexical
from clsearch.search.query import plain
from clsearch.search.snippets import Snippets, sentences

BOUNDS = (0.0, snippets.TELLING, 0.25, 0.5, 1.01)
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
    print(f"{len(cases)} documents\n\n{'encoded below':>13}  {'right':>6}  {'encoded':>7}")
    for bound in BOUNDS:
        snippets.TELLING = bound
        right = asked = 0
        with Snapshot.open(arguments.index) as snapshot:
            for text, title, said, wanted in cases:
                query = plain(text)
                weights = Lexical(snapshot, query).weights
                draft = Snippets([(said, {title})], weights, query.whole)
                if draft.undecided:
                    asked += 1
                    vectors = encoder.encode_passages(draft.undecided)
                    cosines = vectors @ encoder.encode_queries([text])[0]
                    [snippet] = draft.by_both(cosines.tolist())
                else:
                    [snippet] = draft.by_words()
                right += sentences(said).index(snippet.sentence) in wanted
        count = len(cases)
        print(f"{bound:>13.2f}  {right / count:>6.3f}  {asked / count:>7.3f}", flush=True)


if __name__ == "__main__":
    main()
