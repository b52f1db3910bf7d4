"""The command line: parse, call, print. What it prints to a terminal is made safe first.

Exit codes: 0 found or done, 1 nothing found, 2 wrong use or failure.
"""

import errno
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__
from .index.config import INDEX_NAME, INDEX_VARIABLE, find_index
from .index.errors import ClsearchError, IndexMissing

MODES = ("hybrid", "dense", "lexical")
FOUND, NOTHING, FAILED, INTERRUPTED = 0, 1, 2, 130

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """A failure that is explained: its message on stderr, exit code 2."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:
        """Print the message as clsearch's own."""
        click.echo(f"clsearch: {self.message}", err=True)


class Commands(click.Group):
    """The commands; here, and only here, an error becomes a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; no error of ours, of the disk or of SQLite ends in a traceback."""
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
            click.echo("clsearch: stopped; what was committed stays", err=True)
            ctx.exit(INTERRUPTED)


def explain_os_error(error: OSError) -> str:
    """What the system refused, of which file, and what to do next."""
    reason = (error.strerror or str(error)).lower()
    what = f"{os.fsdecode(error.filename)!r}: {reason}" if error.filename else reason
    next_step = {
        errno.ENOSPC: "free some space and run the same command again; what was committed stays",
        errno.EDQUOT: "free some of your quota and run the same command again",
        errno.EFBIG: "raise the file size limit (ulimit -f) and run the same command again",
        errno.EROFS: "the disk is read-only: put the index elsewhere with --index PATH",
        errno.EACCES: "give yourself the permission, or use another place with --index PATH",
        errno.EPERM: "give yourself the permission, or use another place with --index PATH",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.EIO: "the disk fails: copy the index to another one, then run `clsearch check`",
    }.get(error.errno or 0)
    return f"{what}; {next_step}" if next_step else what


def explain_database_error(error: sqlite3.Error) -> str:
    """What SQLite refused, and what to do next."""
    text = str(error)
    if "full" in text:
        return f"index.db: {text}; free some space and run the same command again"
    if "readonly" in text or "unable to open" in text:
        return f"index.db: {text}; see who may write there, or use --index PATH"
    if "locked" in text or "busy" in text:
        return f"index.db: {text}; another program holds it: wait for it, then try again"
    return f"index.db: {text}; run `clsearch check` to see what is damaged"


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


def existing_index(given: str | None) -> Path:
    """The index to read or change; IndexMissing where none is named and none is found."""
    found = Path(given) if given else find_index()
    if found is None:
        raise IndexMissing(
            f"no {INDEX_NAME}/ in {os.getcwd()!r} or above it; "
            "make one with: clsearch index FOLDER, or name one with --index PATH"
        )
    return found


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout, in ASCII: a name that is not UTF-8 survives it."""
    click.echo(json.dumps(value))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="clsearch")
def cli() -> None:
    """Search your documents in your own words; nothing leaves the machine."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show is written as its number, not a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """The `clsearch` command."""
    cli(prog_name="clsearch")
