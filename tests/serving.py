"""The app of a server, asked without a network."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from clsearch.search.serve.app import create_app
from clsearch.search.serve.settings import Settings

URL = "http://127.0.0.1:7700"


@contextmanager
def serving(
    paths: Path | Sequence[Path],
    encoder: Any = None,
    load: Callable[[str, str | None], Any] | None = None,
    scorer: Any = None,
    **settings: Any,
) -> Iterator[TestClient]:
    """A client of a server of these indexes, which were made with `encoder`, or with `load`'s."""
    app = create_app(
        [paths] if isinstance(paths, Path) else paths,
        Settings(**settings),
        load or (lambda model, pooling: encoder),
        lambda name: scorer,
    )
    with TestClient(app, base_url=URL) as client:
        yield client


def lines(*values: str) -> dict[str, Any]:
    """What a request says whose body are these lines of JSON."""
    return {
        "content": "\n".join(values).encode(),
        "headers": {"content-type": "application/x-ndjson"},
    }
