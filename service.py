"""The commands that stay: serve."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .index.config import INDEX_NAME, INDEX_VARIABLE
from .index.errors import ClsearchError, UsageError
from .options import PATH, existing_index, json_option
from .printing import print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .search.serve.settings import Settings

KEPT = ""  # the token's own file


@click.command()
@click.option(
    "--index",
    "index_paths",
    type=PATH,
    metavar="PATH",
    multiple=True,
    help=f"An index; repeat it to serve several. Default: ${INDEX_VARIABLE}, else the nearest "
    f"{INDEX_NAME}/ at or above.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Any but this machine's own loopback address needs the token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="NUMBER",
    default=7700,
    show_default=True,
    help="The port; 0 takes one that is free.",
)
@click.option(
    "--token",
    "token_file",
    metavar="[FILE]",
    is_flag=False,
    flag_value=KEPT,
    help="Ask for a token on the loopback address, too. It lies in FILE, else in the user's "
    "settings, and is made where there is none.",
)
@click.option("--no-token", is_flag=True, help="Ask for no token, whoever can reach the server.")
@click.option(
    "--host-name",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name that the server is reached by, as browsers send it; repeatable.",
)
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
    as_json: bool,
) -> None:
    """Answer over HTTP: a page to search with at /, an API below /v1/.

    It serves this machine alone unless it is told otherwise. Stop it with Ctrl-C or SIGTERM: it
    finishes what it has begun. What it can do is at /openapi.json.
    """
    # For a short text, threads of BLAS cost more than they do; NumPy asks when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if no_token and token_file is not None:
        raise click.UsageError("--token or --no-token, not both")
    paths = [existing_index(path) for path in index_paths or (None,)]
    uvicorn = _uvicorn()
    from .search.serve.app import create_app
    from .search.serve.indexes import named
    from .search.serve.settings import Settings
    from .search.serve.tokens import kept_token, token_path

    settings = Settings(host, port, hosts=hosts, origins=origins, rerank=rerank)
    file = None
    if not no_token and (token_file is not None or not settings.loopback):
        file = Path(token_file) if token_file else token_path()
        settings = replace(settings, token=kept_token(file))
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _stop)  # uvicorn raises them again when it has finished
    with _listening(host, port) as listening:
        settings = replace(settings, port=listening.getsockname()[1])
        app = create_app(paths, settings)
        _announce(settings, named(paths), file, as_json)
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=int(settings.limits.seconds),
        )
        uvicorn.Server(config).run(sockets=[listening])


def _announce(
    settings: Settings, indexes: Mapping[str, Path], token: Path | None, as_json: bool
) -> None:
    """Say where the server is, what it serves, and where its token lies."""
    from .search.serve.settings import as_host

    host = "127.0.0.1" if settings.wildcard else as_host(settings.host)
    url = f"http://{host}:{settings.port}"
    if as_json:
        shown = {name: str(path) for name, path in indexes.items()}
        print_json({"url": url, "indexes": shown, "token": None if token is None else str(token)})
        return
    asked = "" if token is None else f"; its token is in {token}"
    say(f"clsearch: {', '.join(indexes)} at {url}{asked}")


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
