"""What the commands have in common: their options, and how an error becomes words."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from .index.config import INDEX_NAME, INDEX_VARIABLE, find_index
from .index.errors import ClsearchError, IndexMissing
from .index.files import DATABASE
from .printing import say

MODES = ("hybrid", "dense", "lexical")
NOTHING, FAILED, INTERRUPTED = 1, 2, 130

# What a shell completes as a file; whether it is there and can be read, the command itself sees.
PATH = click.Path(readable=False)

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
            raise Failure(f"index.db: {error}; run `clsearch check` to see what it is") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # `clsearch search … | head`: click ends it quietly
                raise
            raise Failure(explain_os_error(error)) from error
        except MemoryError as error:
            raise Failure("not enough memory; close other programs and run it again") from error
        except KeyboardInterrupt:
            say("\nclsearch: stopped; what was committed stays")
            ctx.exit(INTERRUPTED)


def explain_os_error(error: OSError) -> str:
    """What the system refused, of which file, and what to do next."""
    if error.errno == errno.ENOENT and not error.filename:  # of os.getcwd()
        return "the working folder is no longer there; change to one that is"
    reason = (error.strerror or str(error)).lower()
    what = f"{os.fsdecode(error.filename)!r}: {reason}" if error.filename else reason
    elsewhere = "check its permissions, or work in a folder of your own"
    next_step = {
        errno.ENOSPC: "make room and run the same command again; what was committed is safe",
        errno.EDQUOT: "make room and run the same command again; what was committed is safe",
        errno.EROFS: elsewhere,
        errno.EACCES: elsewhere,
        errno.EPERM: elsewhere,
        errno.EMFILE: "raise the limit on open files (ulimit -n)",
    }.get(error.errno or 0)
    return f"{what}; {next_step}" if next_step else what


def index_option(command: F) -> F:
    """`--index PATH`."""
    return click.option(
        "--index",
        "index_path",
        type=PATH,
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


def where_option(command: F) -> F:
    """`--where EXPRESSION`."""
    return click.option(
        "--where",
        metavar="EXPRESSION",
        help="Only what passes this filter, such as \"lang = 'en' and path like 'notes/%'\".",
    )(command)


def k_option(command: F) -> F:
    """`-k NUMBER`."""
    return click.option(
        "-k",
        metavar="NUMBER",
        type=click.IntRange(min=1),
        default=10,
        show_default=True,
        help="How many hits at most.",
    )(command)


def daemon_option(says: str, *, told: bool) -> Callable[[F], F]:
    """`--daemon auto|off`, with its help; the command is `told` it where it has to know."""
    return click.option(
        "--daemon",
        type=click.Choice(("auto", "off")),
        default="auto",
        show_default=True,
        envvar="CLSEARCH_DAEMON",
        expose_value=told,
        help=says,
    )


def model_options(command: F) -> F:
    """`--model NAME|PATH`, `--pooling POOLING`."""
    model = click.option(
        "--model",
        metavar="NAME|PATH",
        help="A model folder, or a hub name with an optional @revision. Default: the embedded one.",
    )
    pooling = click.option(
        "--pooling",
        metavar="POOLING",
        help="In place of what the model declares: cls, mean, max, …, or several joined by +.",
    )
    return model(pooling(command))


def existing_index(given: str | None) -> Path:
    """The index to read or to change; IndexMissing where none is named and none is found."""
    found = find_index() if given is None else Path(given)
    make_one = "make one with `clsearch index FOLDER`, or name one with --index PATH"
    if found is None:
        raise IndexMissing(f"there is no {INDEX_NAME}/ in {os.getcwd()!r} or above it; {make_one}")
    if not (found / DATABASE).exists():
        raise IndexMissing(f"there is no index at {str(found)!r}; {make_one}")
    return found
