"""The commands that stay: serve, and mcp."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from .index.config import INDEX_NAME, INDEX_VARIABLE
from .index.errors import ClsearchError, UsageError
from .options import PATH, daemon_option, existing_index, json_option
from .printing import print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .search.serve.settings import Settings

KEPT = ""  # the token's own file
MCP_PATH = "/mcp"
PROCESSES = 8

F = TypeVar("F", bound="Callable[..., Any]")

indexes_option = click.option(
    "--index",
    "index_paths",
    type=PATH,
    metavar="PATH",
    multiple=True,
    help=f"An index; repeat it to serve several. Default: ${INDEX_VARIABLE}, else the nearest "
    f"{INDEX_NAME}/ at or above.",
)


def listening_options(port: int) -> Callable[[F], F]:
    """Where a server listens, and whom it answers; `port` is the default."""
    options = (
        click.option(
            "--host",
            metavar="ADDRESS",
            default="127.0.0.1",
            show_default=True,
            help="Where to listen. Any but this machine's own loopback address needs the token.",
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65_535),
            metavar="NUMBER",
            default=port,
            show_default=True,
            help="The port; 0 takes one that is free.",
        ),
        click.option(
            "--token",
            "token_file",
            metavar="[FILE]",
            is_flag=False,
            flag_value=KEPT,
            help="Ask for a token on the loopback address, too. It lies in FILE, else in the "
            "user's settings, and is made where there is none.",
        ),
        click.option(
            "--no-token", is_flag=True, help="Ask for no token, whoever can reach the server."
        ),
        click.option(
            "--host-name",
            "hosts",
            metavar="NAME",
            multiple=True,
            help="A name that the server is reached by, as browsers send it; repeatable.",
        ),
    )

    def listening(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return listening


@click.command()
@indexes_option
@listening_options(7700)
@click.option(
    "--origin",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    help="Whose pages may ask from a browser, such as https://app.example; repeatable.",
)
@click.option(
    "--rerank",
    metavar="NAME|PATH",
    help="A cross-encoder: requests may have it order the best passages anew.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="NUMBER",
    help="How many processes may search, this one among them. More are started when several "
    f"clients ask at once. Default: one for each core, up to {PROCESSES}; 1 where torch may find a "
    "GPU.",
)
@daemon_option(
    "Whether `clsearch search` of the same user may be answered by this process, too.", told=True
)
@json_option
def serve(
    index_paths: tuple[str, ...],
    host: str,
    port: int,
    token_file: str | None,
    no_token: bool,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    rerank: str | None,
    processes: int | None,
    daemon: str,
    as_json: bool,
) -> None:
    """Answer over HTTP: a page to search with at /, an API below /v1/.

    It serves this machine alone unless it is told otherwise. Stop it with Ctrl-C or SIGTERM: it
    finishes what it has begun. What it can do is at /openapi.json.
    """
    # For a short text, threads of BLAS cost more than they do; NumPy asks when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    paths = [existing_index(path) for path in index_paths or (None,)]
    uvicorn = _uvicorn()
    from .search.serve import heaps
    from .search.serve.app import create_app
    from .search.serve.indexes import named
    from .search.serve.settings import Settings

    heaps.limit()
    settings = Settings(
        host,
        port,
        hosts=hosts,
        origins=origins,
        rerank=rerank,
        processes=processes or _processes(),
    )
    settings, file = _with_token(settings, token_file, no_token)
    with _listening(host, port) as listening:
        settings = replace(settings, port=listening.getsockname()[1])
        app = create_app(paths, settings)
        with _answering_shells(paths if daemon == "auto" else ()):
            _end_well()
            _announce(settings, named(paths), file, as_json)
            _run(uvicorn, app, settings, listening)


@click.command()
@indexes_option
@click.option(
    "--http", is_flag=True, help="Answer over HTTP, at /mcp, in place of standard input and output."
)
@listening_options(7701)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object, to be put into the settings of an agent, and end.",
)
def mcp(
    index_paths: tuple[str, ...],
    http: bool,
    host: str,
    port: int,
    token_file: str | None,
    no_token: bool,
    hosts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Let an agent search, by the Model Context Protocol.

    An agent starts it and speaks to it over standard input and output; `clsearch mcp --json` says
    what to put into its settings. It can search and read, and changes nothing. What is said of a
    host, a port and a token is for --http.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    paths = [existing_index(path) for path in index_paths or (None,)]
    from .search.serve.settings import Settings

    settings, file = Settings(host, port, hosts=hosts), None
    if http:
        settings, file = _with_token(settings, token_file, no_token)
    if as_json:
        agent = _by_http(settings) if http else _by_stdio(paths)
        print_json({"mcpServers": {"clsearch": agent}})
        return
    from .search.serve.indexes import Indexes
    from .search.serve.mcp import create_http_app, create_server

    server = create_server(Indexes(paths))
    if not http:
        if sys.stdin.isatty():
            say("clsearch: an agent starts this and speaks to it; see `clsearch mcp --json`")
        server.run("stdio")
        return
    import uvicorn  # comes with the SDK of the protocol

    with _listening(host, port) as listening:
        settings = replace(settings, port=listening.getsockname()[1])
        _end_well()
        say(f"clsearch: {_by_http(settings)['url']}{_token_said(file)}")
        _run(uvicorn, create_http_app(server, settings, MCP_PATH), settings, listening)


def _processes() -> int:
    """How many processes may search: one for each core, but each would have a model on a GPU."""
    from .index.encoder.choice import may_have_gpu

    if may_have_gpu():
        return 1
    return min(len(os.sched_getaffinity(0)), PROCESSES)  # may_have_gpu: this is Linux


def _by_stdio(paths: Sequence[Path]) -> dict[str, Any]:
    """What an agent starts."""
    installed = shutil.which("clsearch")
    program = [installed] if installed else [sys.executable, "-m", __package__ or "clsearch"]
    named = [part for path in paths for part in ("--index", str(path.resolve()))]
    return {"command": program[0], "args": [*program[1:], "mcp", *named]}


def _by_http(settings: Settings) -> dict[str, Any]:
    """What an agent connects to, and with which token."""
    agent: dict[str, Any] = {"type": "http", "url": f"http://{settings.named}{MCP_PATH}"}
    if settings.token is not None:
        agent["headers"] = {"Authorization": f"Bearer {settings.token}"}
    return agent


def _with_token(
    settings: Settings, token_file: str | None, no_token: bool
) -> tuple[Settings, Path | None]:
    """The settings with the token that is asked for, and the file it lies in."""
    if no_token and token_file is not None:
        raise click.UsageError("--token or --no-token, not both")
    from .search.serve.tokens import kept_token, token_path

    if no_token or (token_file is None and settings.loopback):
        return settings, None
    file = Path(token_file) if token_file else token_path()
    return replace(settings, token=kept_token(file)), file


def _run(uvicorn: Any, app: Any, settings: Settings, listening: socket.socket) -> None:
    """Serve the app until a signal; what has begun by then is finished."""
    import asyncio

    from .search.serve.connection import Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.limits.seconds),
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        serving = uvicorn.Server(config).serve(sockets=[listening])
        try:
            runner.run(serving)
        finally:
            serving.close()  # where a signal came first, nobody awaits it


@contextmanager
def _answering_shells(paths: Sequence[Path]) -> Iterator[None]:
    """In the block, `clsearch search` in these indexes is answered here, if nothing answers yet.

    By a searcher of its own, which encodes as the command does: what it prints is to be the same.
    Nothing is loaded before somebody asks.
    """
    from .daemon import Listener
    from .search.searcher import Searcher

    group = click.get_current_context().find_root().command
    assert isinstance(group, click.Group)
    with ExitStack() as open_listeners:
        for path in paths:
            with suppress(OSError):  # another process listens, or the user has no private folder
                listener = Listener(path, Searcher.open(path), group.commands["search"])
                open_listeners.callback(listener.close)
                threading.Thread(target=listener.run, name="clsearch-shell", daemon=True).start()
        yield


def _announce(
    settings: Settings, indexes: Mapping[str, Path], token: Path | None, as_json: bool
) -> None:
    """Say where the server is, what it serves, and where its token lies."""
    url = f"http://{settings.address}"
    if as_json:
        shown = {name: str(path) for name, path in indexes.items()}
        print_json({"url": url, "indexes": shown, "token": None if token is None else str(token)})
        return
    say(f"clsearch: {', '.join(indexes)} at {url}{_token_said(token)}")


def _token_said(file: Path | None) -> str:
    return "" if file is None else f"; its token is in {file}"


def _uvicorn() -> Any:
    """The server that runs the app. ClsearchError where the extra is not installed."""
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise ClsearchError(
            f"the server needs {error.name}: pip install 'clsearch[serve]'"
        ) from error
    return uvicorn


def _end_well() -> None:
    """From here on a signal ends this process as it should: with 0, and nothing said."""
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _stop)  # uvicorn raises them again when it has finished


def _stop(*_: Any) -> NoReturn:
    raise SystemExit(0)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections. UsageError where the system gives none."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host!r}, port {port} ({error.strerror or error}): name another"
            " with --host or --port; --port 0 takes one that is free"
        ) from error
