"""The command line: parse, call, print.

Exit codes: 0 found or done, 1 nothing found, 2 wrong use or failure, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from . import __version__, terminal
from .index.config import INDEX_NAME, INDEX_VARIABLE, SAMPLE, find_index
from .index.errors import ClsearchError, IndexMissing

if TYPE_CHECKING:
    from .index.types import Skipped
    from .search import Hit

MODES = ("hybrid", "dense", "lexical")
NOTHING, FAILED, INTERRUPTED = 1, 2, 130
SHOWN_SKIPPED = 10
EMBED_BATCH = 256

DEMO = "clsearch-demo"
DEMO_QUESTIONS = (
    "laundry soaking wet and a puddle left in the drum",
    "how much may I spend on food during a work trip",
    "little bug stuck in my leg after a hike",
)
DEMO_NEXT = f"""\
Now you, in the sample:

    cd {DEMO}
    clsearch search "what makes the ocean rise and fall"

and in any folder of your own:

    clsearch index .
    clsearch search "…"\
"""

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """A failure that is explained: its message on stderr, exit code 2."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message as clsearch's own."""
        say(f"clsearch: {self.message}")


class Commands(click.Group):
    """The commands; here, and only here, an error becomes a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it, the system or SQLite refuses ends in words, not a traceback."""
        try:
            return super().invoke(ctx)
        except ClsearchError as error:
            raise Failure(str(error)) from error
        except sqlite3.Error as error:
            raise Failure(explain_database_error(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # `clsearch search … | head`: click ends it quietly
                raise
            raise Failure(explain_os_error(error)) from error
        except KeyboardInterrupt:
            say("\nclsearch: stopped; what was committed stays, and the same command goes on")
            ctx.exit(INTERRUPTED)


def explain_os_error(error: OSError) -> str:
    """What the system refused, of which file, and what to do next."""
    reason = (error.strerror or str(error)).lower()
    what = f"{os.fsdecode(error.filename)!r}: {reason}" if error.filename else reason
    elsewhere = "get the permission to write there, or put the index elsewhere with --index PATH"
    next_step = {
        errno.ENOSPC: "free some space and run the same command again; what was committed stays",
        errno.EDQUOT: "free some of your quota and run the same command again",
        errno.EFBIG: "raise the limit on file sizes (ulimit -f) and run the same command again",
        errno.EROFS: "the disk is read-only: put the index elsewhere with --index PATH",
        errno.EACCES: elsewhere,
        errno.EPERM: elsewhere,
        errno.EMFILE: "raise the limit on open files (ulimit -n)",
        errno.EIO: "the disk fails: save the index to another one, then run `clsearch check`",
    }.get(error.errno or 0)
    return f"{what}; {next_step}" if next_step else what


def explain_database_error(error: sqlite3.Error) -> str:
    """What SQLite refused where no part of the index had an explanation."""
    return f"index.db: {error}; run `clsearch check` to see whether it is damaged"


def index_option(command: F) -> F:
    """`--index PATH`."""
    return click.option(
        "--index",
        "index_path",
        metavar="PATH",
        help=f"The index. Default: ${INDEX_VARIABLE}, else the nearest {INDEX_NAME}/ at or above.",
    )(command)


def json_option(command: F) -> F:
    """`--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
    )(command)


def mode_option(command: F) -> F:
    """`--mode MODE`."""
    return click.option(
        "--mode",
        type=click.Choice(MODES),
        default="hybrid",
        show_default=True,
        help="By vectors (dense), by words (lexical), or by both.",
    )(command)


def k_option(command: F) -> F:
    """`-k K`."""
    return click.option(
        "-k", type=click.IntRange(min=1), default=10, show_default=True, help="Hits at most."
    )(command)


def existing_index(given: str | None) -> Path:
    """The index to read or to change; IndexMissing where none is named and none is found."""
    found = Path(given) if given else find_index()
    if found is None:
        raise IndexMissing(
            f"there is no {INDEX_NAME}/ in {os.getcwd()!r} or above it; "
            "make one with `clsearch index FOLDER`, or name one with --index PATH"
        )
    return found


def say(message: str) -> None:
    """A line for people, on stderr; no name in it steers their terminal."""
    click.echo("\n".join(map(terminal.safe, message.split("\n"))), err=True)


def print_line(line: str) -> None:
    """A line on stdout, as `say`."""
    click.echo(terminal.safe(line))


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout, in ASCII, so that every terminal and every name survives it."""
    click.echo(json.dumps(value))


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
@click.argument("sources", metavar="SOURCE…", nargs=-1)
@click.option("--model", metavar="NAME|PATH", help="The encoder of a new index. [embedded]")
@click.option("--pooling", metavar="POOLING", help="In place of the pooling the model declares.")
@click.option(
    "--prune/--no-prune", default=True, help="Remove what is gone from the sources. [prune]"
)
@click.option("--reencode", is_flag=True, help="Encode the whole index again, with --model.")
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

    A SOURCE is a file, a folder, or - for standard input. Without an index, one is made here.
    """
    from .index import Index

    if not sources and not reencode:
        raise click.UsageError("name at least one SOURCE: a file, a folder, or - for stdin")
    path = Path(index_path) if index_path else find_index() or Path(INDEX_NAME)
    started = time.perf_counter()
    with Index.open(path, model=model, pooling=pooling) as opened, progress_bar() as progress:
        report = opened.sync(sources, prune=prune, progress=progress)
    seconds = time.perf_counter() - started
    if as_json:
        print_json({"index": str(path), **asdict(report), "seconds": round(seconds, 3)})
        return
    print_line(
        f"{plural(report.added, 'document')} added, {report.updated} updated, "
        f"{report.removed} removed, {report.unchanged} unchanged; "
        f"{plural(report.encoded, 'passage')} encoded, {report.reused} reused; {seconds:.1f} s"
    )
    print_skipped(report.skipped)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr where that is a terminal, else None."""
    if not sys.stderr.isatty():
        yield None
        return
    yield None


def print_skipped(skipped: Sequence[Skipped]) -> None:
    """Name what was not taken in and why: the first few, then how many more."""
    for item in skipped[:SHOWN_SKIPPED]:
        say(f"skipped {item.name}: {item.reason}")
    if len(skipped) > SHOWN_SKIPPED:
        say(f"skipped {len(skipped) - SHOWN_SKIPPED} more; --json names them all")


@cli.command()
@click.argument("query", nargs=-1, required=True)
@k_option
@mode_option
@index_option
@json_option
def search(
    query: tuple[str, ...], k: int, mode: Any, index_path: str | None, as_json: bool
) -> None:
    """Find the passages that answer a query in your own words."""
    from .search import Searcher

    text = " ".join(query)
    searcher = Searcher.open(existing_index(index_path))
    started = time.perf_counter()
    hits = searcher.search(text, k=k, mode=mode)
    took_ms = 1000 * (time.perf_counter() - started)
    if as_json:
        asked = {"query": text, "mode": mode}
        print_json({**asked, "took_ms": round(took_ms, 1), "hits": [h.to_json() for h in hits]})
    else:
        print_hits(hits)
    if not hits:
        say("nothing found; other words, or --mode hybrid or dense, may find more")
        click.get_current_context().exit(NOTHING)


@cli.command()
@click.argument("document")
@k_option
@index_option
@json_option
def similar(document: str, k: int, index_path: str | None, as_json: bool) -> None:
    """Find passages of other documents that are like DOCUMENT."""
    from .search import Searcher

    searcher = Searcher.open(existing_index(index_path))
    started = time.perf_counter()
    hits = searcher.similar(document, k=k)
    took_ms = 1000 * (time.perf_counter() - started)
    if as_json:
        hits_json = [hit.to_json() for hit in hits]
        print_json({"document": document, "took_ms": round(took_ms, 1), "hits": hits_json})
    else:
        print_hits(hits)
    if not hits:
        say("nothing found: the index has no other documents")
        click.get_current_context().exit(NOTHING)


def print_hits(hits: Sequence[Hit]) -> None:
    """Each hit: rank, score, title; path:line and heading; the passage around its best match."""
    colour, indent = terminal.colours(), " " * 4
    for hit in hits:
        passage = hit.passage
        where = f"{hit.document}:{passage.line}"
        if passage.page is not None:
            where += f"  page {passage.page}"
        title = terminal.safe(hit.title)
        heading = passage.heading.removeprefix(hit.title).removeprefix(" > ")
        click.echo(
            f"{hit.rank:>2}. {click.style(title, bold=True)}  {hit.score:.3f}\n"
            f"{indent}{click.style(terminal.safe(where), fg='cyan')}  {terminal.safe(heading)}",
            color=colour,
        )
        for line in terminal.excerpt(passage.text, hit.marks, terminal.width() - len(indent)):
            click.echo(f"{indent}{line}", color=colour)
        click.echo()


def readable_size(size: int) -> str:
    """`1234567` -> `1.2 MB`."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """`1 document`, `2 documents`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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
        facts = {
            "index": str(path),
            "documents": counts.documents,
            "passages": counts.passages,
            "sources": counts.sources,
            "model": snapshot.options.model,
            "pooling": snapshot.declaration["pooling"],
            "dimension": snapshot.declaration["dimension"],
            "fingerprint": snapshot.fingerprint,
            "generation": snapshot.generation,
            "segments": len(snapshot.segments),
            "waiting": counts.waiting,
            "tombstones": counts.tombstones,
            "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            "journal": journal_mode(sqlite3.sqlite_version_info)[0],
        }
    if as_json:
        print_json(facts)
        return
    rows = {
        **facts,
        "pooling": "+".join(facts["pooling"]),
        "fingerprint": facts["fingerprint"][:12],
        "bytes": readable_size(facts["bytes"]),
    }
    for name, value in rows.items():
        shown = f"{value:,}" if isinstance(value, int) else value
        print_line(f"{name:<12} {shown}")


@cli.command()
@click.argument("documents", metavar="DOCUMENT…", nargs=-1, required=True)
@index_option
@json_option
def remove(documents: tuple[str, ...], index_path: str | None, as_json: bool) -> None:
    """Take documents out of the index.

    A DOCUMENT is named by its id, as `clsearch search` shows it. The file itself stays, and is
    indexed again by the next `clsearch index` of its folder.
    """
    from .index import Index

    with Index.open(existing_index(index_path)) as opened:
        removed = opened.remove(documents)
    if as_json:
        print_json({"removed": removed})
    else:
        print_line(f"{plural(removed, 'document')} removed")
    if not removed:
        say("nothing removed: `clsearch search` shows documents with their ids")
        click.get_current_context().exit(NOTHING)


@cli.command()
@click.argument("file", metavar="[FILE|-]", type=click.File("rb"), default="-")
@click.option(
    "--model", metavar="NAME|PATH", default="embedded", show_default=True, help="Encoder."
)
@click.option("--pooling", metavar="POOLING", help="In place of the pooling the model declares.")
@click.option("--query", is_flag=True, help="Encode as queries, not as passages.")
@json_option
def embed(file: IO[bytes], model: str, pooling: str | None, query: bool, as_json: bool) -> None:
    """Print the vector of each line of a text.

    A vector is a JSON array on a line of its own; an empty line has one, too.
    """
    from .index import Encoder

    encoder = Encoder.load(model, pooling)
    encode = encoder.encode_queries if query else encoder.encode_passages
    vectors: list[list[float]] = []
    lines = (line.rstrip(b"\r\n").decode("utf-8", "replace") for line in file)
    while batch := list(islice(lines, EMBED_BATCH)):
        for vector in encode(batch):
            numbers = [round(float(number), 8) for number in vector]
            if as_json:
                vectors.append(numbers)
            else:
                click.echo(json.dumps(numbers))
    if as_json:
        print_json(
            {
                "model": encoder.name,
                "fingerprint": encoder.fingerprint,
                "dimension": encoder.dimension,
                "vectors": vectors,
            }
        )


@cli.command("eval")
@click.argument("collection")
@click.option(
    "--split", default="test", show_default=True, help="Whose judgments: qrels/SPLIT.tsv."
)
@mode_option
@click.option("--model", metavar="NAME|PATH", help="The encoder to measure. [embedded]")
@click.option(
    "--index", "index_path", metavar="PATH", help="Keep the index here for the next time."
)
@json_option
def evaluate(
    collection: str, split: str, mode: Any, model: str | None, index_path: str | None, as_json: bool
) -> None:
    """Measure the answers to a collection's judged queries.

    COLLECTION is a folder in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.
    """
    from .search.evaluate import evaluate

    result = evaluate(collection, split=split, mode=mode, model=model, index=index_path).to_json()
    if as_json:
        print_json(result)
        return
    print_line(
        "{collection} {split}, {mode}: {queries} queries, {documents} documents".format(**result)
    )
    for name, value in result["metrics"].items():
        print_line(f"{name:<12} {value:.4f}")


@cli.command()
@json_option
def demo(as_json: bool) -> None:
    """Index a small sample here and ask it three questions."""
    import shutil

    from .index import Index
    from .search import Searcher

    folder = Path(DEMO)
    if not as_json:
        print_line(f"A sample of small documents goes into {folder}/, and its index is made …")
    shutil.copytree(SAMPLE / "documents", folder / "documents", dirs_exist_ok=True)
    with Index.open(folder / INDEX_NAME) as opened, progress_bar() as progress:
        report = opened.sync([folder / "documents"], progress=progress)
    searcher = Searcher.open(folder / INDEX_NAME)
    answers = [(question, searcher.search(question, k=1)) for question in DEMO_QUESTIONS]
    if as_json:
        asked = [{"query": q, "hits": [hit.to_json() for hit in hits]} for q, hits in answers]
        print_json({"index": str(folder / INDEX_NAME), "questions": asked})
        return
    print_line(f"{plural(report.added + report.updated + report.unchanged, 'document')}.\n")
    for question, hits in answers:
        click.echo(click.style(f"? {question}", bold=True), color=terminal.colours())
        print_hits(hits)
    click.echo(DEMO_NEXT)


def main() -> None:
    """The `clsearch` command."""
    cli(prog_name="clsearch")
