"""Queries that are an identifier alone: hybrid against each of its halves.

    python benchmarks/identifiers.py COLLECTION --index FOLDER [--queries 300] [--seed 0]

COLLECTION is a folder in BEIR's layout; its index is made in FOLDER, and used again. An identifier
is a compound with a letter and a digit (`IL-1beta`, `phospho-p38`) that stands in one to three
documents, each of which is relevant. They are asked as they are written where they are first met,
and in one word, small, without joints between letters (`phosphop38`). Prints nDCG@10 of each mode,
and how many of the queries hybrid ranks worse and better than words alone, with the p value of the
paired randomisation test.
"""

import argparse
import random
from pathlib import Path

import numpy as np

from clsearch import Index, Searcher
from clsearch.index import analysis
from clsearch.search.evaluate import DEFAULT, beir
from clsearch.search.evaluate.metrics import by_places, measure
from clsearch.search.evaluate.significance import randomisation

MODES = ("hybrid", "dense", "lexical")
MOST_DOCUMENTS = 3
DEPTH = 100


def identifiers(collection: Path) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Identifier -> ids of the documents that have it; and -> as it is first written."""
    documents: dict[str, set[str]] = {}
    written: dict[str, str] = {}
    for document in beir.read_corpus(collection):
        for text in (document.title, document.text):
            for term in analysis.compounds(text):
                name = term.text.removeprefix(analysis.IDENTIFIER)
                documents.setdefault(name, set()).add(document.id)
                written.setdefault(name, text[term.start : term.end])
    kept = {
        name: ids
        for name, ids in documents.items()
        if len(ids) <= MOST_DOCUMENTS
        and any(map(str.isdigit, name))
        and any(map(str.isalpha, name))
    }
    return kept, written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with Index.open(arguments.index) as index:
        index.add(beir.read_corpus(arguments.collection))
    relevant, written = identifiers(arguments.collection)
    names = sorted(relevant)
    names = random.Random(arguments.seed).sample(names, min(arguments.queries, len(names)))
    qrels = {name: dict.fromkeys(relevant[name], 1) for name in names}
    searcher = Searcher.open(arguments.index)
    for form, queries in (("as written", [written[n] for n in names]), ("in one word", names)):
        values = {}
        for mode in MODES:
            found = searcher.rank_documents(queries, DEPTH, mode)
            run = {name: by_places(ids) for name, ids in zip(names, found, strict=True)}
            values[mode] = np.array(list(measure(DEFAULT[0], qrels, run).values()))
            print(f"{form:<12} {mode:<8} nDCG@10 {values[mode].mean():.4f}")
        gaps = values["hybrid"] - values["lexical"]
        lost, won, p = (gaps < 0).sum(), (gaps > 0).sum(), randomisation(gaps)
        print(f"{form:<12} hybrid below words {lost}, above {won}, p = {p:.3f}")


if __name__ == "__main__":
    main()
