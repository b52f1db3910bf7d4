"""The command line: parse, call, print.

Exit codes: 0 found or done, 1 nothing found, 2 wrong use or failure, 130 interrupted.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from . import __version__, operations, runtime, terminal
from .evaluation import evaluate
from .index.config import INDEX_NAME, SAMPLE, find_index
from .index.errors import IndexDamaged, UsageError
from .options import (
    FAILED,
    NOTHING,
    PATH,
    Commands,
    daemon_option,
    existing_index,
    explain_os_error,
    index_option,
    json_option,
    k_option,
    mode_option,
    model_options,
    where_option,
)
from .printing import (
    explained,
    nothing_found,
    print_hits,
    print_json,
    print_line,
    print_passages,
    print_question,
    print_report,
    progress_line,
    say,
)
from .service import mcp, serve

if TYPE_CHECKING:
    from .index import Index, SyncReport
    from .search import Searcher

GROUPS = ("passage", "document")
STDIN = "-"
QUERIES = {
    "native": "encoded by kernels of clsearch's own",
    "numpy": "encoded by numpy",
    "torch": "encoded by torch, which takes seconds to load: no BERT, RoBERTa or DistilBERT",
}
WRITING = f"{__package__}.index.index"  # the module that all commands which write import
EMBED_BATCH = 256
ASKED_TOGETHER = 32

DEMO = "clsearch-demo"
DEMO_QUESTIONS = (
    "how to fix a puncture",
    "how much may I spend on food during a work trip",
    "laundry soaking wet and a puddle left in the drum",
)
DEMO_NEXT = """\
Now you, in the sample:

    cd {folder}
    {program} search "insomnia remedies"

and in any folder of your own:

    {program} index .
    {program} search "…"\
"""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="clsearch")
def cli() -> None:
    """Search your documents in your own words. Nothing leaves the machine.

    \b
    clsearch index ~/notes
    clsearch search "why does the build fail on arm"
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A character that the terminal's encoding lacks is written as its number.
            stream.reconfigure(errors="backslashreplace")


@cli.command()
@click.argument("sources", metavar="SOURCE…", type=PATH, nargs=-1)
@model_options
@click.option(
    "--prune/--no-prune",
    default=True,
    show_default="--prune",
    help="Whether what is gone from the sources leaves the index.",
)
@click.option(
    "--reencode",
    is_flag=True,
    help="No SOURCE: encode all of the index again, from the text it holds, with --model.",
)
@index_option
@json_option
def index(
    sources: tuple[str, ...],
    model: str | None,
    pooling: str | None,
    prune: bool,
    reencode: bool,
    index_path: str | None,
    as_json: bool,
) -> None:
    """Make the index say what the sources say now.

    A SOURCE is a file or a folder, or "-" alone for standard input. Where there is no index, one
    is made in the working folder.
    """
    from .index import Index
    from .index.sources import walk

    if reencode == bool(sources) or (STDIN in sources and len(sources) > 1):
        raise click.UsageError("name files and folders, or - alone, or --reencode alone")
    started = time.perf_counter()
    if reencode:
        path = existing_index(index_path)
        with Index.open(path) as opened, progress_line() as progress:
            report = opened.reencode(model, pooling, progress=progress)
    else:
        path = find_index() or Path(INDEX_NAME) if index_path is None else Path(index_path)
        from_stdin = sources == (STDIN,)
        if not from_stdin:
            for source in sources:  # what is not there must not leave an empty index behind
                walk(source, path.parent)
        with Index.open(path, model, pooling) as opened, progress_line() as progress:
            if from_stdin:
                report = add_stdin(opened)
            else:
                report = opened.sync(sources, prune=prune, progress=progress)
    print_report(path, report, time.perf_counter() - started, as_json)
    if not (report.added or report.updated or report.removed or report.unchanged or reencode):
        named = ", ".join(repr(source) for source in sources)
        raise UsageError(f"nothing to index in {named}: no file there holds text that can be read")


def add_stdin(index: Index) -> SyncReport:
    """What standard input says, as the document `stdin`."""
    from .index.readers import read_stream
    from .index.types import Document

    read = list(read_stream(sys.stdin.buffer.read(), "stdin"))
    report = index.add([item for item in read if isinstance(item, Document)])
    skipped = tuple(item for item in read if not isinstance(item, Document))
    return replace(report, skipped=report.skipped + skipped)


@cli.command()
@click.argument("query", nargs=-1)
@click.option(
    "--queries",
    "file",
    metavar="FILE",
    type=click.File("rb"),
    help="In place of QUERY: a file of queries, one a line, or - for standard input. They are "
    "answered many at once; --json prints an object a line.",
)
@k_option
@mode_option
@where_option
@click.option(
    "--rerank",
    metavar="NAME|PATH",
    help="A cross-encoder that reads the best passages again and orders them anew.",
)
@click.option(
    "--group",
    type=click.Choice(GROUPS),
    help="Each document once, with its best passages, or every passage. Default: document, but "
    "passage with --json.",
)
@click.option(
    "--min-score",
    metavar="SCORE",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Leave out hits below; 0.5 is where unrelated text ends (with --rerank, the score is the "
    "reranker's). Exit code 1 where none is left.",
)
@click.option("--explain", is_flag=True, help="Say how each score came about.")
@daemon_option(
    "Whether a process in the background may answer, and may be started for the next search.",
    told=False,  # it is read before click is imported
)
@index_option
@json_option
@click.pass_obj
def search(
    opened: Searcher | None,
    query: tuple[str, ...],
    file: IO[bytes] | None,
    k: int,
    mode: Any,
    where: str | None,
    rerank: str | None,
    group: Any,
    min_score: float,
    explain: bool,
    index_path: str | None,
    as_json: bool,
) -> None:
    """Find the passages that answer a query in your own words.

    \b
    'reset "hard reset"'      only what has this phrase
    'reset -wireless'         nothing with this word
    'title:router'            only where the word is in the title; also heading: and text:

    A query that begins with a minus stands behind two of them: clsearch search -- '-wireless reset'
    """
    if bool(query) == bool(file):
        raise click.UsageError("give a QUERY, or --queries FILE")
    if file is None:
        # For a short text, threads of BLAS cost more than they do; NumPy asks when it is imported.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    path = Path() if opened else existing_index(index_path)

    @cache
    def searcher() -> Searcher:
        from .search import Searcher

        return opened or Searcher.open(path)

    def answer(texts: list[str]) -> bool:
        """Print what is found; -> whether anything was."""
        started = time.perf_counter() if file is None else None
        answers = searcher().answer_many(
            texts,
            k,
            mode,
            where=where,
            rerank=rerank,
            min_score=min_score,
            group=group or ("passage" if as_json else "document"),
        )
        for text, found in zip(texts, answers, strict=True):
            if file is not None and not as_json:
                print_question(text)
            asked: dict[str, Any] = {"query": text, "mode": mode}
            if as_json and explain:
                asked["explanation"] = dict(found.explanation)
            print_hits(found.hits, asked, started, as_json, explain)
            if explain and not as_json:
                for line in explained(found.explanation):
                    print_line(line)
            if not found.hits:
                nothing_found(min_score, found.explanation)
        return any(found.hits for found in answers)

    if file is None:
        found = answer([" ".join(query)])
    else:
        from . import crew

        alone = (encodes_by_torch(path) and mode != "lexical") or rerank is not None
        batches = batches_of_lines(file)
        found = any(list(crew.in_order(answer, batches, 1 if alone else crew.MOST)))
    if not found:
        click.get_current_context().exit(NOTHING)


def encodes_by_torch(index: Path) -> bool:
    """Whether queries take seconds and much memory to begin; also where nobody noted that."""
    from .index.store.snapshot import Snapshot

    with Snapshot.open(index) as snapshot:
        return snapshot.declaration.get("queries") not in ("native", "numpy")


def batches_of_lines(file: IO[bytes]) -> Iterator[list[str]]:
    """The lines of a file that are not blank, a batch at a time."""
    lines = (line.decode("utf-8", "replace").strip() for line in file)
    texts = filter(None, lines)
    while batch := list(islice(texts, ASKED_TOGETHER)):
        yield batch


@cli.command()
@click.argument("document")
@k_option
@where_option
@index_option
@json_option
def similar(
    document: str, k: int, where: str | None, index_path: str | None, as_json: bool
) -> None:
    """Find the documents that are most like one of the index.

    DOCUMENT is its id, as `clsearch search` shows it.
    """
    from .search import Searcher

    searcher = Searcher.open(existing_index(index_path))
    started = time.perf_counter()
    hits = searcher.similar(document, k, where=where)
    print_hits(hits, {"document": document}, started, as_json)
    if not hits:
        say("no other document to compare it with; index more, or widen --where")
        click.get_current_context().exit(NOTHING)


@cli.command()
@index_option
@json_option
def status(index_path: str | None, as_json: bool) -> None:
    """Say what the index holds and what made it."""
    from .index.store.connection import journal_mode
    from .index.store.snapshot import Snapshot

    path = existing_index(index_path)
    with Snapshot.open(path) as snapshot:
        counts = snapshot.counts()
        declared: dict[str, Any] = snapshot.declaration
        facts: dict[str, Any] = {
            "index": str(path),
            "documents": counts.documents,
            "passages": counts.passages,
            "sources": counts.sources,
            "model": snapshot.options.model,
            "pooling": declared.get("pooling"),
            "dimension": declared.get("dimension"),
            "prompts": {"query": "", "document": ""} | declared.get("prompts", {}),
            "queries": declared.get("queries"),
            "engines": declared.get("engines", []),
            "fingerprint": snapshot.fingerprint,
            "generation": snapshot.generation,
            "segments": len(snapshot.segments),
            "waiting": counts.waiting,
            "tombstones": counts.tombstones,
            "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            "journal": journal_mode(sqlite3.sqlite_version_info[:3])[0],
            "background": runtime.listener(str(path)),
        }
    if as_json:
        print_json(facts)
        return
    shown = {
        **{name: f"{fact:,}" if isinstance(fact, int) else fact for name, fact in facts.items()},
        "pooling": "+".join(facts["pooling"] or ["none"]),
        "prompts": ", ".join(f"{of} {text!r}" for of, text in facts["prompts"].items() if text)
        or "none",
        "queries": QUERIES.get(facts["queries"], "not recorded; encode again to know"),
        "engines": "; ".join(facts["engines"])
        or ("not recorded" if facts["passages"] else "none yet"),
        "fingerprint": facts["fingerprint"][:12],
        "bytes": terminal.readable_size(facts["bytes"]),
        "background": f"process {facts['background']} answers `clsearch search`"
        if facts["background"]
        else "no process answers for this index",
    }
    for name, value in shown.items():
        print_line(f"{name:<12} {value}")
    if counts.waiting:
        say("some passages have no vector yet; run `clsearch check --repair` to encode them")


@cli.command()
@click.argument("documents", metavar="DOCUMENT…", nargs=-1, required=True)
@index_option
@json_option
def remove(documents: tuple[str, ...], index_path: str | None, as_json: bool) -> None:
    """Take documents out of the index.

    A DOCUMENT is named by its id, as `clsearch search` shows it. The file itself stays, and the
    next `clsearch index` of its folder brings it back.
    """
    from .index import Index

    with Index.open(existing_index(index_path)) as opened:
        removed = opened.remove(documents)
    if as_json:
        print_json({"removed": removed})
    else:
        print_line(f"{terminal.plural(removed, 'document')} removed")
    if not removed:
        say("the index has none of these; `clsearch search` shows documents with their ids")
        click.get_current_context().exit(NOTHING)


@cli.command()
@click.option(
    "--kind",
    type=click.Choice(("auto", "exact", "compact", "fast")),
    default="auto",
    show_default=True,
    help="How vectors are searched: all compared, little memory, or most speed. "
    "auto keeps the kind that the index has, else chooses by size.",
)
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="How many of the ten best a compact or fast kind must find. "
    "Default: 0.99 up to 200,000 passages, 0.98 above.",
)
@index_option
@json_option
def optimize(kind: str, recall: float | None, index_path: str | None, as_json: bool) -> None:
    """Merge the vector segments, build what makes them fast, and give free space back."""
    from .index import Index

    with Index.open(existing_index(index_path)) as opened:
        report = opened.optimize(None if kind == "auto" else kind, recall)
    if as_json:
        print_json(asdict(report))
        return
    print_line(
        f"{terminal.plural(report.segments_before, 'segment')} with "
        f"{terminal.plural(report.tombstones_before, 'tombstone')}, "
        f"{terminal.readable_size(report.bytes_before)}, became "
        f"{terminal.plural(report.segments, 'segment')}, {terminal.readable_size(report.bytes)}"
    )
    measured = "" if report.recall is None else f"; recall@10 {report.recall:.3f}"
    print_line(f"kind: {report.kind}{measured}")


@cli.command()
@click.option("--repair", is_flag=True, help="Mend what is damaged, from the text in the index.")
@click.option(
    "--recall",
    "probes",
    type=click.IntRange(1),
    is_flag=False,
    flag_value=200,
    metavar="[N]",
    help="Also measure recall@10, on N questions made of its passages; 200 without a number.",
)
@index_option
@json_option
def check(repair: bool, probes: int | None, index_path: str | None, as_json: bool) -> None:
    """Check that every file of the index is what was written.

    Without --repair nothing is changed. The exit code is 2 where damage is left.
    """
    from .index import Index
    from .index.check import check
    from .index.check import recall as measure

    path = existing_index(index_path)
    repaired: tuple[str, ...] = ()
    if repair:
        with Index.open(path) as opened:
            repaired = opened.repair().recovered
    problems = check(path)
    audit: dict[str, object] = {}
    if probes and not problems:
        recall, advice = measure(path, probes)
        figures = {name: round(value, 4) for name, value in asdict(recall).items()}
        audit = {"recall": {**figures, "advice": advice}}
    if as_json:
        print_json({"index": str(path), "problems": problems, "repaired": repaired, **audit})
    else:
        for message in repaired:
            print_line(f"repaired: {message}")
        for message in problems:
            print_line(f"damaged: {message}")
        if not problems:
            print_line("everything is as it was written")
        if audit:
            print_line(
                f"recall@10 {recall.mean:.4f} ± {recall.error:.4f} on "
                f"{terminal.plural(recall.queries, 'question')}" + (f": {advice}" if advice else "")
            )
    if problems:
        raise IndexDamaged(
            f"{terminal.plural(len(problems), 'problem')} in the index at {str(path)!r}; "
            + ("see above" if repair else "`clsearch check --repair` mends what can be mended")
        )


cli.add_command(evaluate)


@cli.command()
@click.argument("file", metavar="[FILE|-]", type=click.File("rb"), default=STDIN)
@model_options
@click.option("--query", is_flag=True, help="Encode the lines as queries, not as passages.")
@json_option
def embed(
    file: IO[bytes], model: str | None, pooling: str | None, query: bool, as_json: bool
) -> None:
    """Print the vector of each line of a text.

    A vector is a JSON array on a line of its own. An empty line has one, too.
    """
    from .index import Encoder

    encoder = Encoder.load(model or "embedded", pooling)
    encode = encoder.encode_queries if query else encoder.encode_passages
    texts = (line.rstrip(b"\r\n").decode("utf-8", "replace") for line in file)
    vectors = (
        [round(float(number), 8) for number in vector]
        for batch in iter(lambda: list(islice(texts, EMBED_BATCH)), [])
        for vector in encode(batch)
    )
    if as_json:
        made = {"model": encoder.name, "fingerprint": encoder.fingerprint}
        print_json({**made, "dimension": encoder.dimension, "vectors": list(vectors)})
        return
    for vector in vectors:
        click.echo(json.dumps(vector))


@cli.command()
@json_option
def demo(as_json: bool) -> None:
    """Index a small sample and ask it three questions.

    The sample and its index are put into clsearch-demo/ in the working folder.
    """
    import shlex
    import shutil

    from .index import Index
    from .search import Searcher

    folder = Path(DEMO)
    shutil.copytree(SAMPLE / "documents", folder / "documents", dirs_exist_ok=True)
    started = time.perf_counter()
    with Index.open(folder / INDEX_NAME) as opened, progress_line() as progress:
        report = opened.sync([folder / "documents"], progress=progress)
    seconds = time.perf_counter() - started
    searcher = Searcher.open(folder / INDEX_NAME)
    answers = [(question, searcher.search(question, k=1)) for question in DEMO_QUESTIONS]
    if as_json:
        asked = [{"query": text, "hits": [hit.to_json() for hit in hits]} for text, hits in answers]
        print_json({"index": str(folder / INDEX_NAME), "questions": asked})
        return
    held = terminal.plural(report.added + report.updated + report.unchanged, "document")
    print_line(f"{held} of {folder}/ indexed in {seconds:.1f} s. Three questions:\n")
    for question, hits in answers:
        print_question(question)
        print_passages(hits)
    installed = shutil.which("clsearch")
    program = "clsearch" if installed else f"{shlex.quote(sys.executable)} -m clsearch"
    print_line(DEMO_NEXT.format(folder=DEMO, program=program))


for command in (serve, mcp, *operations.COMMANDS):
    cli.add_command(command)


def main(afterwards: Callable[[int], None] = lambda code: None) -> None:
    """The `clsearch` command; then, when all is printed, `afterwards` of its exit code."""
    # A stream that is closed (`>&-`) would leave its number to a file of the index, and what any
    # library prints would be written there.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    # What is imported makes many objects and no garbage; looking for some takes 10 ms of a search.
    gc.set_threshold(100_000)
    try:
        cli(prog_name="clsearch")
    except OSError as error:  # what takes neither the help nor a message
        with suppress(OSError):
            say(f"clsearch: {explain_os_error(error)}")
        sys.exit(FAILED)
    except SystemExit as end:
        if isinstance(end.code, int):
            afterwards(end.code)
        if not isinstance(end.code, int) or not {WRITING, "torch"}.isdisjoint(sys.modules):
            raise
        leave(end.code)


def leave(code: int) -> NoReturn:
    """End the process without taking it apart.

    Python would free one object after the other, a tenth of the time of a search; the system takes
    all at once. Only where nothing was written and no torch runs: nothing waits to be finished but
    what is printed.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:  # nobody reads any more
        code = code or FAILED
    os._exit(code)
