"""Connections of a real server: heads that are slow, long, or no HTTP."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from clsearch.search.serve import connection
from clsearch.search.serve.connection import Connection
from clsearch.search.serve.guard import Guard
from clsearch.search.serve.settings import Settings

HEAD = b"GET /v1/indexes HTTP/1.1\r\nHost: 127.0.0.1:7700\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def talked(parts: list[bytes], pause: float, http: Any = Connection) -> bytes:
    """What a server answers to parts that are sent with a pause after each, until it closes."""
    guard: Any = Guard(app, Settings())
    config = uvicorn.Config(guard, http=http, lifespan="off", ws="none", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    loop = asyncio.get_running_loop()
    made = config.http_protocol_class

    def protocol() -> Any:
        return made(config=config, server_state=server.server_state, app_state={}, _loop=loop)

    listening = await loop.create_server(protocol, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers: list[bytes] = []

    async def read() -> None:
        while data := await reader.read(65_536):
            answers.append(data)

    reading = asyncio.create_task(read())
    # Who goes on to write where nobody reads any more is told so by an error.
    with suppress(TimeoutError, ConnectionError):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        await asyncio.wait_for(reading, 1.0)
    writer.close()
    listening.close()
    return b"".join(answers)


def talk(parts: list[bytes], pause: float = 0.0, http: Any = Connection) -> bytes:
    """As `talked`, with a loop of its own."""
    return asyncio.run(talked(parts, pause, http))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads must arrive in a tenth of a second."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)


CLOSE = b"Connection: close\r\n\r\n"


def test_a_head_in_parts() -> None:
    assert talk([HEAD[:20], HEAD[20:], CLOSE]).startswith(b"HTTP/1.1 200 OK\r\n")


def test_two_requests_of_one_connection(hasty: None) -> None:
    """The time of the second is its own."""
    answers = talk([HEAD + b"\r\n", b"", HEAD + CLOSE], 0.06)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2


SLOW = [[b""], [b"\r\n"] * 9, [HEAD], [bytes([byte]) for byte in HEAD[:9]]]


@pytest.mark.parametrize("parts", SLOW, ids=["nothing", "blank lines", "half", "bytes"])
def test_a_slow_head(hasty: None, parts: list[bytes]) -> None:
    assert talk(parts, 0.04).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_slow_second_head(hasty: None) -> None:
    answers = talk([HEAD + b"\r\n", HEAD], 0.04)
    assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"HTTP/1.1 408 Request Timeout\r\n" in answers


def test_a_long_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_BYTES", 1_000)
    long = [b"X-Long: " + b"x" * 600 + b"\r\n"] * 2
    assert b"HTTP/1.1 431 " in talk([HEAD, *long], 0.02)


def test_no_http() -> None:
    answer = talk([b"\x16\x03\x01 hello\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"x-content-type-options: nosniff\r\n" in answer
    assert b'"code": "http"' in answer
