"""The commands that keep an index safe and move it: backup and restore."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import terminal
from .index.config import INDEX_NAME, find_index
from .options import existing_index, index_option, json_option
from .printing import print_json, print_line

if TYPE_CHECKING:
    from .index.backup import BackupReport


@click.command()
@click.argument("destination", metavar="DEST", type=click.Path())
@index_option
@json_option
def backup(destination: str, index_path: str | None, as_json: bool) -> None:
    """Copy the index to a new folder, whole and checked.

    Others may search it, and write to it, meanwhile. DEST must not be there yet. A backup is an
    index: `clsearch check --index DEST` looks at it again, and `clsearch restore` brings it back.
    """
    from .index.backup import back_up

    path = existing_index(index_path)
    started = time.perf_counter()
    report = back_up(path, destination)
    print_copy(report, {"index": str(path), "backup": destination}, started, as_json)


@click.command()
@click.argument("source", metavar="SOURCE", type=click.Path())
@index_option
@json_option
def restore(source: str, index_path: str | None, as_json: bool) -> None:
    """Bring back an index from what `clsearch backup` made.

    It comes to --index PATH, else to $CLSEARCH_INDEX, else to .clsearch/ in the working folder,
    where nothing may be yet. Everything is checked first, and the backup stays as it is.
    """
    from .index.backup import restore as bring_back

    path = find_index() or Path(INDEX_NAME) if index_path is None else Path(index_path)
    started = time.perf_counter()
    report = bring_back(source, path)
    print_copy(report, {"backup": source, "index": str(path)}, started, as_json)


def print_copy(report: BackupReport, ends: dict[str, str], started: float, as_json: bool) -> None:
    """What was copied; `ends` are from where and to where."""
    seconds = time.perf_counter() - started
    if as_json:
        print_json({**ends, **asdict(report), "seconds": round(seconds, 3)})
        return
    print_line(
        f"{list(ends.values())[1]}: {terminal.plural(report.documents, 'document')}, "
        f"{terminal.plural(report.passages, 'passage')}, {terminal.readable_size(report.bytes)}, "
        f"checked; {seconds:.1f} s"
    )
