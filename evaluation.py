"""The command that measures answers to judged queries: eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import terminal
from .options import MODES, NOTHING, PATH, existing_index, json_option
from .printing import print_json, print_line, say


@click.command("eval")
@click.argument("collection", type=PATH, required=False)
@click.option(
    "--split", default="test", show_default=True, help="Whose judgments: qrels/SPLIT.tsv."
)
@click.option("--topics", type=PATH, metavar="FILE", help="In place of COLLECTION: TREC topics.")
@click.option("--qrels", type=PATH, metavar="FILE", help="In place of COLLECTION: TREC judgments.")
@click.option(
    "--mode",
    "modes",
    type=click.Choice(MODES),
    multiple=True,
    help="How to search; repeat it to compare. Default: hybrid, or nothing with --run.",
)
@click.option(
    "--model",
    "models",
    metavar="NAME|PATH",
    multiple=True,
    help="What to encode with; repeat it to compare. Default: the index's, or the embedded one.",
)
@click.option(
    "--pooling",
    "poolings",
    metavar="POOLING",
    multiple=True,
    help="In place of what the model declares; repeat it to compare.",
)
@click.option(
    "--rerank",
    "rerankers",
    metavar="NAME|PATH",
    multiple=True,
    help="A cross-encoder that reads the best again, as rows beside those without.",
)
@click.option(
    "--run",
    "runs",
    type=PATH,
    metavar="FILE",
    multiple=True,
    help="A TREC run file, as a row; repeatable.",
)
@click.option(
    "--metric",
    "metrics",
    metavar="METRIC",
    multiple=True,
    help="nDCG@k, Recall@k, MRR, MRR@k, MAP, MAP@k, P@k or Success@k; repeatable. "
    "Default: nDCG@10 Recall@100 MRR@10 MAP@100.",
)
@click.option(
    "--save-run",
    type=PATH,
    metavar="FILE|FOLDER",
    help="Write what was found as a TREC run file; of several settings, into a folder.",
)
@click.option(
    "--per-query",
    metavar="[NUMBER]",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=10,
    help="Show the queries that lose and win most, 10 where no number is given (name COLLECTION "
    "before it); with --json, all queries.",
)
@click.option(
    "--fail-under",
    "bounds",
    metavar="METRIC=VALUE",
    multiple=True,
    help="Exit code 1 where a row is below; repeatable.",
)
@click.option(
    "--index",
    "index_path",
    type=PATH,
    metavar="PATH",
    help="The index that is asked, or that keeps a folder's corpus. "
    "Default: as everywhere; for a folder, the cache.",
)
@click.option("--no-cache", is_flag=True, help="Make indexes in a temporary folder.")
@json_option
def evaluate(
    collection: str | None,
    split: str,
    topics: str | None,
    qrels: str | None,
    modes: tuple[Any, ...],
    models: tuple[str, ...],
    poolings: tuple[str, ...],
    rerankers: tuple[str, ...],
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    save_run: str | None,
    per_query: int | None,
    bounds: tuple[str, ...],
    index_path: str | None,
    no_cache: bool,
    as_json: bool,
) -> None:
    """Measure the answers to judged queries, and compare ways to search.

    COLLECTION is a folder in BEIR's layout (corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv), or a
    file of your own with lines of a query, a tab, and the path of the file that answers it.
    Topics, judgments and a file of your own are about the documents of an existing index.

    Each run file is a row, and so is each combination of models and modes; the first row is what
    the others are compared with.
    """
    from .search import evaluate as ev
    from .search.evaluate import report

    searched = bool(modes or models or poolings or rerankers or not runs)
    if searched and not modes:
        modes = ("hybrid",)
    settings = [
        ev.Setting(mode, model, pooling, reranker)
        for model in models or (None,)
        for pooling in poolings or (None,)
        for mode in modes
        for reranker in (None, *rerankers)
    ]
    if save_run and not searched:
        raise click.UsageError("--save-run writes what was searched: name a --mode beside --run")
    limits = [ev.Bound.parse(bound) for bound in bounds]
    chosen = [ev.Metric.parse(metric) for metric in metrics] or list(ev.DEFAULT)
    index = None
    if collection is None and qrels is not None:
        asked = existing_index(index_path) if topics and searched else None
        judged = ev.of_trec(Path(topics) if topics else None, Path(qrels), asked)
    elif collection is None or topics or qrels:
        raise click.UsageError("name a COLLECTION; or --qrels, with --topics or with --run")
    elif Path(collection).is_dir():
        judged = ev.of_beir(Path(collection), split)
        index = Path(index_path) if index_path else None
    else:
        ev.check_file(Path(collection))
        judged = ev.of_pairs(Path(collection), existing_index(index_path))
    status = terminal.Status()
    try:
        evaluation = ev.evaluate(
            judged,
            settings,
            [Path(run) for run in runs],
            list(dict.fromkeys([*chosen, *(limit.metric for limit in limits)])),
            index=index,
            cached=not no_cache,
            save=Path(save_run) if save_run else None,
            status=status,
        )
    finally:
        status.end()
    if as_json:
        print_json(evaluation.to_json(per_query is not None))
    else:
        room = terminal.width()
        lines = [*report.table(evaluation, room)]
        lines += report.by_query(evaluation, per_query, room) if per_query else []
        print_line("\n".join(lines))
    below = [message for limit in limits for message in limit.broken(evaluation.rows)]
    for message in below:
        say(f"clsearch: {message}")
    if below:
        click.get_current_context().exit(NOTHING)
