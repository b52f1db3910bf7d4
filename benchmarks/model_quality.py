"""Quality of models: retrieval on BEIR folders, and similarity of sentence pairs.

    python benchmarks/model_quality.py --model data/model --model TEACHER:mean COLLECTION…

Each document is `title + " " + text`, cut at 256 tokens; each model is run by plain transformers,
with the pooling named behind its path (`cls`, the default, or `mean`). No part of clsearch's own
engine takes part, so the figures judge the weights alone. Prints nDCG@10 per collection, by exact
search, and Spearman's rank correlation of cosine and grade over the pairs of `similarity.tsv`;
grades go from 0 (nothing in common) to 5 (the same said twice).
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import pytrec_eval
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn.functional import normalize
from transformers import AutoModel

SIMILARITY = Path(__file__).with_name("similarity.tsv")
MAX_LENGTH = 256
BATCH_TOKENS = 4096


def read_jsonl(path: Path) -> dict[str, str]:
    """`_id` -> title and text."""
    records = map(json.loads, path.open())
    return {r["_id"]: f"{r.get('title', '')} {r['text']}".strip() for r in records}


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    with path.open() as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return qrels


@torch.inference_mode()
def encode(folder: Path, pooling: str, texts: list[str]) -> NDArray[np.float32]:
    """Normalised vectors, [n, d], in the order of the texts."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    vectors = np.empty((len(rows), model.config.hidden_size), dtype=np.float32)
    start = 0
    while start < len(order):
        width, end = 0, start
        while end < len(order) and len(rows[order[end]]) * (end - start + 1) <= BATCH_TOKENS:
            width = len(rows[order[end]])
            end += 1
        part = [rows[i] for i in order[start:end]]
        ids = torch.tensor([row + [0] * (width - len(row)) for row in part])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in part])
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        if pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        vectors[order[start:end]] = normalize(pooled).numpy()
        start = end
    return vectors


def ndcg(folder: Path, model: Path, pooling: str, split: str) -> float:
    """nDCG@10, trec_eval's, over the judged queries of the split."""
    corpus, queries = read_jsonl(folder / "corpus.jsonl"), read_jsonl(folder / "queries.jsonl")
    qrels = read_qrels(folder / "qrels" / f"{split}.tsv")
    documents = encode(model, pooling, list(corpus.values()))
    asked = encode(model, pooling, [queries[query] for query in qrels])
    names, scores = list(corpus), asked @ documents.T
    run = {
        query: {names[i]: float(row[i]) for i in np.argpartition(-row, 100)[:100]}
        for query, row in zip(qrels, scores, strict=True)
    }
    judged = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    return float(np.mean([query["ndcg_cut_10"] for query in judged.values()]))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0, [n]: equal values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    mean_ranks: NDArray[np.float64] = np.cumsum(sizes) - (sizes + 1) / 2
    return mean_ranks[group]


def spearman(model: Path, pooling: str) -> float:
    """Rank correlation, Pearson's of the ranks, of cosine and grade over the pairs."""
    with SIMILARITY.open() as lines:
        pairs = list(csv.DictReader(lines, delimiter="\t"))
    one, other = (
        encode(model, pooling, [p[side] for p in pairs]) for side in ("sentence", "other")
    )
    cosines = (one * other).sum(axis=1).astype(np.float64)
    grades = np.array([float(pair["grade"]) for pair in pairs])
    return float(np.corrcoef(ranks(cosines), ranks(grades))[0, 1])


def main() -> None:
    """Print a line for each model and collection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, metavar="FOLDER[:POOLING]")
    parser.add_argument("--split", default="test")
    parser.add_argument("collections", type=Path, nargs="*")
    arguments = parser.parse_args()
    for named in arguments.model:
        folder, _, pooling = named.partition(":")
        correlation = spearman(Path(folder), pooling or "cls")
        print(f"{named}  similarity  Spearman {correlation:.4f}", flush=True)
        for collection in arguments.collections:
            started = time.monotonic()
            figure = ndcg(collection, Path(folder), pooling or "cls", arguments.split)
            seconds = time.monotonic() - started
            print(f"{named}  {collection.name}  nDCG@10 {figure:.4f}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
