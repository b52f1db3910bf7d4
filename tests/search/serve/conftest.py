"""A server that listens, and a browser that asks it."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from clsearch.search.serve.app import create_app
from clsearch.search.serve.settings import Settings
from words_encoder import WordsEncoder

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def listening(paths: Sequence[Path], port: int, **settings: Any) -> Iterator[str]:
    """The address of a server of these indexes, which were made with the fake encoder."""
    encoder = WordsEncoder()
    app = create_app(paths, Settings(port=port, **settings), load=lambda model, pooling: encoder)
    config = uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


# Not longer: while a browser is there, its event loop runs, and no test has one of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Any]]:
    """Options of a browser context -> a page in it; at the end, nothing went wrong in any.

    No script failed, no dialog was opened, and nothing was against the content security policy.
    """
    contexts, wrong = [], []

    def tab(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: wrong.append(message.text))
        return page

    yield tab
    for context in contexts:
        context.close()
    # The browser itself notes each answer that is no success, and each that did not come.
    assert [text for text in wrong if not text.startswith("Failed to load resource")] == []
