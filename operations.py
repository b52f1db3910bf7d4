"""The commands that keep an index safe and move it: backup, restore, export, import, completion."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import terminal
from .index.config import INDEX_NAME, INDEX_VARIABLE, find_index
from .index.files import DATABASE
from .options import (
    NOTHING,
    PATH,
    existing_index,
    index_option,
    json_option,
    model_options,
    where_option,
)
from .printing import print_json, print_line, print_report, progress_line, say

if TYPE_CHECKING:
    from .index.backup import BackupReport

FORMATS = ("parquet", "jsonl", "beir")
SHELLS = ("bash", "zsh", "fish")
COMPLETE = "_CLSEARCH_COMPLETE"  # as click derives it from the command's name


@click.command()
@click.argument("destination", metavar="DEST", type=PATH)
@index_option
@json_option
def backup(destination: str, index_path: str | None, as_json: bool) -> None:
    """Copy the index to a new folder, whole, its documents and vectors verified.

    Others may search it, and write to it, meanwhile. DEST must not be there yet. A backup is an
    index: `clsearch check --index DEST` looks at it again, and `clsearch restore` brings it back.
    """
    from .index.backup import back_up

    path = existing_index(index_path)
    started = time.perf_counter()
    report = back_up(path, destination)
    print_copy(report, {"index": str(path), "backup": destination}, started, as_json)


@click.command()
@click.argument("source", metavar="SOURCE", type=PATH)
@index_option
@json_option
def restore(source: str, index_path: str | None, as_json: bool) -> None:
    """Bring back an index from what `clsearch backup` made.

    It comes to --index PATH, else to $CLSEARCH_INDEX, else to .clsearch/ in the working folder,
    where nothing may be yet. Everything is checked first, and the backup stays as it is.
    """
    from .index.backup import restore as bring_back

    path = Path(index_path or os.environ.get(INDEX_VARIABLE) or INDEX_NAME)
    started = time.perf_counter()
    report = bring_back(source, path)
    print_copy(report, {"backup": source, "index": str(path)}, started, as_json)


@click.command()
@click.argument("destination", metavar="DEST", type=PATH)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    required=True,
    help="Parquet, for dataframes and databases; JSON lines; or BEIR's layout.",
)
@where_option
@index_option
@json_option
def export(
    destination: str, format: str, where: str | None, index_path: str | None, as_json: bool
) -> None:
    """Write documents, passages and vectors to files that other programs read.

    DEST is a new folder; docs/operations.md says what is in it. With --where, the documents of
    which a passage passes. Others may write to the index meanwhile.
    """
    from .index.exchange import export as write
    from .search.filters import parse

    path = existing_index(index_path)
    condition = None if where is None else parse(where)
    started = time.perf_counter()
    report = write(path, destination, format, condition)
    seconds = time.perf_counter() - started
    if as_json:
        ends = {"index": str(path), "export": destination, "format": format}
        print_json({**ends, **asdict(report), "seconds": round(seconds, 3)})
    else:
        print_line(
            f"{destination}: {terminal.plural(report.documents, 'document')}, "
            f"{terminal.plural(report.passages, 'passage')}, "
            f"{terminal.readable_size(report.bytes)}; {seconds:.1f} s"
        )
    if not report.documents:
        say("no document was there to export; widen --where, or index some first")
        click.get_current_context().exit(NOTHING)


@click.command("import")
@click.argument("source", metavar="SOURCE", type=PATH)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="What SOURCE holds. Default: it is recognised.",
)
@model_options
@index_option
@json_option
def import_(
    source: str,
    format: str | None,
    model: str | None,
    pooling: str | None,
    index_path: str | None,
    as_json: bool,
) -> None:
    """Add the documents of an export, or of files that others have made.

    SOURCE is a folder that `clsearch export` made, one in BEIR's layout, or a file of JSON lines or
    Parquet. Vectors of an export are taken as they are where the encoder and the text are the same;
    everything else is encoded. Where there is no index, one is made in the working folder.
    """
    from .index.exchange import find
    from .index.index import Index

    path = find_index() or Path(INDEX_NAME) if index_path is None else Path(index_path)
    found = find(source, format)
    if not (path / DATABASE).exists():  # what is no document must not leave an index
        next(found.incoming(""), None)
    origin = found.origin
    started = time.perf_counter()
    with Index.open(path, model, pooling) as opened, progress_line() as progress:
        if origin and origin.fingerprint != opened.encoder.fingerprint:
            say(
                f"the vectors in {source} are of {origin.model!r} ({origin.fingerprint[:12]}), the "
                f"index is of {opened.encoder.name!r} ({opened.encoder.fingerprint[:12]}): "
                "everything is encoded; a new index with that --model takes them as they are"
            )
        report = opened.import_from(source, format, progress)
    print_report(path, report, time.perf_counter() - started, as_json)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the script with which a shell completes commands and options.

    \b
    bash: clsearch completion bash > ~/.local/share/bash-completion/completions/clsearch
    zsh:  clsearch completion zsh > ~/.zfunc/_clsearch   (with ~/.zfunc in fpath)
    fish: clsearch completion fish > ~/.config/fish/completions/clsearch.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root()
    made = get_completion_class(shell)
    assert made is not None
    script = made(root.command, {}, "clsearch", COMPLETE).source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script, nl=False)


def print_copy(report: BackupReport, ends: dict[str, str], started: float, as_json: bool) -> None:
    """What was copied; `ends` are from where and to where."""
    seconds = time.perf_counter() - started
    if as_json:
        print_json({**ends, **asdict(report), "seconds": round(seconds, 3)})
        return
    print_line(
        f"{list(ends.values())[1]}: {terminal.plural(report.documents, 'document')}, "
        f"{terminal.plural(report.passages, 'passage')}, {terminal.readable_size(report.bytes)}; "
        f"{seconds:.1f} s"
    )


COMMANDS = (backup, restore, export, import_, completion)
