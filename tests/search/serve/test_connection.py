"""Connections of a real server: heads that are slow, long, or no HTTP; bodies that are refused."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Iterator
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


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The path and the body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = scope["path"].encode() + b"=" + body
    headers = [(b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


OFFER = (
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1:7700\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMA\r\nContent-Type: application/json\r\n"
)
NEXT = HEAD + CLOSE
SIZE = b"Content-Length: 2\r\n\r\n"
OFFERS = {
    "in one piece": ([OFFER + SIZE + b"{}" + NEXT], [b"{}"]),
    "the body apart": ([OFFER + SIZE, b"{}" + NEXT], [b"{}"]),
    "the body in parts": ([OFFER + SIZE + b"{", b"}", NEXT], [b"{}"]),
    "the head in parts": ([OFFER[:50], OFFER[50:] + SIZE + b"{}", NEXT], [b"{}"]),
    "chunked": ([OFFER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", NEXT], [b"{}"]),
    "twice": ([OFFER + SIZE + b"{}", OFFER + SIZE + b"[]", NEXT], [b"{}", b"[]"]),
    "a request as the body": (
        [OFFER + b"Content-Length: %d\r\n\r\n" % len(NEXT), NEXT, NEXT],
        [NEXT],
    ),
}


@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_of_http_2_is_declined(offer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its body is read, as that of the request which it is; what follows is the next request."""
    parts, bodies = OFFERS[offer]
    monkeypatch.setattr(f"{__name__}.app", echo)
    answers = talk(parts, 0.05).split(b"HTTP/1.1 200 OK\r\n")[1:]
    said = [answer.split(b"\r\n\r\n", 1)[1] for answer in answers]
    assert said == [*(b"/v1/search=" + body for body in bodies), b"/v1/indexes="]


def test_an_offer_without_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.app", echo)
    offer = HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert talk([offer, NEXT], 0.05).count(b"HTTP/1.1 200 OK\r\n") == 2


def test_very_many_offers_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read after the one before, and none inside of it."""
    monkeypatch.setattr(f"{__name__}.app", echo)
    offer = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:7700\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert talk([offer * 1500 + NEXT], 1.0).count(b"HTTP/1.1 200 OK\r\n") == 1501


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


def test_a_long_head_in_one_piece() -> None:
    long = HEAD + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n"
    answer = talk([long])
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_no_http() -> None:
    answer = talk([b"\x16\x03\x01 hello\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"x-content-type-options: nosniff\r\n" in answer
    assert b'"code": "http"' in answer


TOKEN = "correct-horse-battery-staple-0123456789"


@pytest.fixture(params=["asyncio", "uvloop"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Of a server that asks for a token."""
    pytest.importorskip(request.param)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        guard: Any = Guard(app, Settings(port=port, token=TOKEN))
        config = uvicorn.Config(
            guard, http=Connection, lifespan="off", ws="none", log_config=None, loop=request.param
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield port
        server.should_exit = True
        thread.join()


def posted(port: int, path: str, size: int, chunked: bool = False, **headers: str) -> list[int]:
    """The status of a request with so large a body, and of the next one of its connection.

    Of a new connection, where the first is to be closed.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body: Any = b" " * size
    if chunked:
        body = iter([body[start : start + 65_536] for start in range(0, size, 65_536)])
    sent = {"content-type": "application/json", **headers}
    connection.request("POST", path, body, sent, encode_chunked=chunked)
    statuses = []
    for again in (True, False):
        with connection.getresponse() as answer:
            answer.read()
        statuses.append(answer.status)
        if again:
            if "connection" in headers:
                connection.close()
            connection.request("GET", "/healthz")
    connection.close()
    return statuses


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [300_000, 15_000_000])
def test_a_body_that_is_refused_unread(port: int, size: int, chunked: bool) -> None:
    """The client hears why, and the next answer is that to its next request."""
    assert posted(port, "/v1/embeddings", size, chunked) == [401, 200]
    # So does one that says that it asks for nothing more.
    assert posted(port, "/v1/embeddings", size, chunked, connection="close") == [401, 200]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(port: int, chunked: bool) -> None:
    authorized = {"authorization": f"Bearer {TOKEN}"}
    for size in (1_100_000, 4_000_000):
        assert posted(port, "/v1/search", size, chunked, **authorized) == [413, 200]


def length(size: int) -> bytes:
    """The end of a head, of a request with a body that is refused."""
    return HEAD.replace(b"GET", b"POST") + f"Content-Length: {size}\r\n\r\n".encode()


def test_a_refused_body_that_trickles(hasty: None) -> None:
    """It is waited for no longer than for a head, and nothing more is said."""
    begun = time.monotonic()
    answer = talk([length(100), *[b"x"] * 20], 0.04)
    assert time.monotonic() - begun < 1.0 + 20 * 0.04
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"}")


def test_a_refused_body_that_is_no_http() -> None:
    chunked = HEAD.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = talk([chunked, b"no number\r\n"], 0.02)
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_after_a_refused_body_a_head_may_take_its_time_again(hasty: None) -> None:
    answers = talk([length(4), b"xx", b"xx", HEAD[:9], HEAD[9:] + CLOSE], 0.04)
    assert answers.startswith(b"HTTP/1.1 415 ")
    assert b"HTTP/1.1 200 OK\r\n" in answers


def test_a_connection_that_idles_after_a_refused_body_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = []
    handler = Connection.timeout_keep_alive_handler
    monkeypatch.setattr(
        Connection, "timeout_keep_alive_handler", lambda one: (closed.append(one), handler(one))
    )
    init = Connection.__init__

    def impatient(one: Any, *args: Any, **more: Any) -> None:
        init(one, *args, **more)
        one.timeout_keep_alive = 0.2

    monkeypatch.setattr(Connection, "__init__", impatient)
    talk([length(4), b"xx", b"xx"], 0.04)
    assert len(closed) == 1
