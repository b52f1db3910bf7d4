"""Can a score tell that nothing answers? Judged questions against questions of other matters.

    python benchmarks/answers.py COLLECTION --index FOLDER [--split test]

COLLECTION is a folder in BEIR's layout; its index is made in FOLDER, and used again. The questions
of `off_topic.txt` (recipes, sports, law, gossip, everyday life) are asked of it beside the judged
ones of a split. For each mode: AUROC of the best hit's score, the chance that a judged
question scores higher than an off-topic one (ties count half: Hanley and McNeil, 1982), and which
share of each has only weak hits (score below 0.5).
"""

import argparse
from pathlib import Path
from typing import get_args

import numpy as np

from clsearch import Index, Searcher
from clsearch.search.evaluate import beir
from clsearch.search.scale import Mode

OFF_TOPIC = Path(__file__).with_name("off_topic.txt")


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of pairs (positive, negative) in order, [n] and [m] -> 0 to 1."""
    above = positive[:, None] > negative[None]
    equal = positive[:, None] == negative[None]
    return float((above + equal / 2).mean())


def best_scores(searcher: Searcher, questions: list[str], mode: Mode) -> np.ndarray:
    """The score of the best hit for each question, 0 where there is none."""
    found = [searcher.search(question, 1, mode) for question in questions]
    return np.array([hits[0].score if hits else 0.0 for hits in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    with Index.open(arguments.index) as index:
        index.add(beir.read_corpus(arguments.collection))
    texts = beir.read_queries(arguments.collection)
    judged = [texts[query] for query in beir.read_qrels(arguments.collection, arguments.split)]
    other = OFF_TOPIC.read_text(encoding="utf-8").splitlines()
    searcher = Searcher.open(arguments.index)
    print(f"{arguments.collection.name}: {len(judged)} judged questions, {len(other)} off topic")
    print(f"{'mode':<8}  {'AUROC':>6}  {'judged, weak':>12}  {'off topic, weak':>15}")
    for mode in get_args(Mode):
        good, bad = (best_scores(searcher, asked, mode) for asked in (judged, other))
        weak = [float((scores < 0.5).mean()) for scores in (good, bad)]
        print(f"{mode:<8}  {auroc(good, bad):>6.3f}  {weak[0]:>12.1%}  {weak[1]:>15.1%}")


if __name__ == "__main__":
    main()
