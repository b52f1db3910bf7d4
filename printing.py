"""What the commands print: answers and reports for people, JSON for programs, progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import terminal

if TYPE_CHECKING:
    from .index.report import Progress, SyncReport
    from .search.hit import Hit

SHOWN_SKIPPED = 10


@contextmanager
def progress_line() -> Iterator[Callable[[Progress], None] | None]:
    """One line on stderr that says how far the run is, where that is a terminal; else None."""
    if not sys.stderr.isatty():
        yield None
        return
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < 0.1:
            return
        shown = now
        of = "" if progress.total is None else f" of {progress.total:,}"
        line = f"{progress.files:,}{of} files, {progress.passages:,} passages encoded"
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)

    try:
        yield show
    finally:
        if shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def print_report(path: Path, report: SyncReport, seconds: float, as_json: bool) -> None:
    """What a run changed, in one line, and what it skipped: the first few, then how many more."""
    if as_json:
        print_json({"index": str(path), **asdict(report), "seconds": round(seconds, 3)})
        return
    for message in report.recovered:
        say(f"recovered: {message}")
    for item in report.skipped[:SHOWN_SKIPPED]:
        say(f"skipped {item.name}: {item.reason}")
    if len(report.skipped) > SHOWN_SKIPPED:
        say(f"skipped {len(report.skipped) - SHOWN_SKIPPED:,} more; --json names them all")
    ignored = f"; {terminal.plural(report.ignored, 'file')} without text" if report.ignored else ""
    print_line(
        f"{terminal.plural(report.added, 'document')} added, {report.updated:,} updated, "
        f"{report.removed:,} removed, {report.unchanged:,} unchanged; "
        f"{terminal.plural(report.encoded, 'passage')} encoded, {report.reused:,} reused"
        f"{ignored}; {seconds:.1f} s"
    )


def print_hits(
    hits: Sequence[Hit],
    asked: dict[str, Any],
    started: float | None,
    as_json: bool,
    explain: bool = False,
) -> None:
    """The answer to what was asked at `started`; None where many were asked together."""
    if as_json:
        took = {} if started is None else {"took_ms": round(1000 * _since(started), 1)}
        print_json({**asked, **took, "hits": [hit.to_json(explain) for hit in hits]})
        return
    if hits and all(hit.weak for hit in hits):
        say("nothing here answers that well; what comes nearest:")
    print_passages(hits, explain)


def _since(started: float) -> float:
    return time.perf_counter() - started


def print_question(text: str) -> None:
    """A query above its hits."""
    terminal.echo(click.style(f"? {terminal.safe(text)}", bold=True), color=terminal.colours())


def nothing_found(min_score: float, explanation: Mapping[str, Any]) -> None:
    """Say why there are no hits, and what to try."""
    filtered = explanation.get("filter", {}).get("passages") == 0
    if filtered and explanation.get("required"):
        reason = "no passage has what is asked for in quotes or in a field; leave the marks away"
    elif filtered:
        reason = "no passage passes the filter; see what there is with a search without --where"
    elif min_score:
        reason = f"nothing scores {min_score:g} or more; try other words, or a lower --min-score"
    else:
        reason = (
            "nothing found; try other words, or another --mode, or index more with `clsearch index`"
        )
    say(reason)


def print_passages(hits: Iterable[Hit], explain: bool = False) -> None:
    """Each hit: rank, title, score; where it stands; the passage around its best sentence."""
    colour, indent = terminal.colours(), " " * 4
    for hit in hits:
        title = click.style(terminal.safe(hit.title or hit.document), bold=True)
        weak = click.style("  weak", dim=True) if hit.weak else ""
        lines = [f"{hit.rank:>2}. {title}  {hit.score:.3f}{weak}"]
        for shown in (hit, *hit.more):
            lines.append(f"{indent}{place(shown)}")
            passage, above = shown.passage, shown.passage.heading.rpartition(" > ")[2]
            excerpt = terminal.excerpt(
                passage.text,
                shown.marks,
                terminal.width() - len(indent),
                shown.sentence,
                terminal.without_heading(passage.text, above or shown.title),
                styled=colour,
            )
            lines += [f"{indent}{line}" for line in excerpt]
            if explain:
                lines.append(f"{indent}{scores(shown)}")
        if hit.duplicates:
            named = ", ".join(map(terminal.safe, hit.duplicates))
            lines.append(f"{indent}the same in {named}")
        terminal.echo("\n".join(lines) + "\n", color=colour)


def place(hit: Hit) -> str:
    """`document:line, page  heading`."""
    passage = hit.passage
    page = "" if passage.page is None else f", page {passage.page}"
    where = terminal.safe(f"{hit.document}:{passage.line}{page}")
    heading = terminal.safe(passage.heading.removeprefix(hit.title).removeprefix(" > "))
    return f"{click.style(where, fg='cyan')}  {heading}".rstrip()


def scores(hit: Hit) -> str:
    """How a hit's score came about: `score 0.912: dense 0.701, lexical 7.100, dense rank 1, …`."""
    return f"score {hit.score:.3f}: " + ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in {**hit.scores, **hit.explanation}.items()
    )


def explained(explanation: Mapping[str, Any]) -> Iterator[str]:
    """How an answer came about, line by line."""
    for name, value in explanation.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items()) or "none"
        elif isinstance(value, list):
            shown = (
                " ".join(map(str, one.values())) if isinstance(one, Mapping) else str(one)
                for one in value
            )
            value = "; ".join(shown) or "none"
        yield f"{name.replace('_', ' ') + ':':<13} {value}"


def say(message: str) -> None:
    """Lines for people, on stderr; no name in them steers their terminal."""
    terminal.echo("\n".join(map(terminal.safe, message.split("\n"))), err=True)


def print_line(line: str) -> None:
    """Lines on stdout, as `say`."""
    terminal.echo("\n".join(map(terminal.safe, line.split("\n"))))


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout, in ASCII, so that every terminal and every name survives it."""
    terminal.echo(json.dumps(value))
