"""How a connection is read: by uvicorn, with a limit to the time and the size of a request's head.

uvicorn waits for ever for a head that has begun, and takes one of any size: a client that sends a
byte a minute over each of many connections would hold them all. Bodies are the guard's; what is
left of one that it has refused is read and dropped, for as long as a head may take, so that the
client gets to read the answer.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .errors import Problem
from .guard import HEADERS

HEAD_SECONDS = 10.0
HEAD_BYTES = 65_536

_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
_BAD = Problem(400, "this is no HTTP request", "http")
_SLOW = Problem(408, "the head of the request did not arrive in time", "slow")
_LONG = Problem(431, f"the head of the request is longer than {HEAD_BYTES} bytes", "too_large")


class _Parser:
    """httptools' parser, for a server that stays with HTTP/1.1.

    httptools stops after a head that offers another protocol, as Java's clients and `curl --http2`
    do with each request, and takes the body for what comes in that protocol. Here the offer is
    declined: another parser, which knows of the head only how long the body is, reads on.
    """

    def __init__(self, connection: HttpToolsProtocol) -> None:
        self._connection = connection
        self._parser = httptools.HttpRequestParser(connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> None:
        left = memoryview(data)
        while True:
            try:
                return self._parser.feed_data(left)
            except httptools.HttpParserUpgrade as stopped:
                left = left[stopped.args[0] :]
            self._decline()

    def _decline(self) -> None:
        head = [b"POST / HTTP/" + self._parser.get_http_version().encode()]
        head += [
            name + b": " + value
            for name, value in self._connection.headers
            if name in (b"content-length", b"transfer-encoding")
        ]
        if not self._parser.should_keep_alive():
            head.append(b"connection: close")
        self._parser = httptools.HttpRequestParser(_Body(self._connection))
        self._parser.feed_data(b"\r\n".join([*head, b"", b""]))


class _Body:
    """Passes on what a parser reads, but for the first head, which the connection knows."""

    def __init__(self, connection: HttpToolsProtocol) -> None:
        self._connection = connection
        self._known = True

    def on_message_begin(self) -> None:
        if not self._known:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._known:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._known:
            self._connection.on_headers_complete()
        self._known = False

    def on_body(self, body: bytes) -> None:
        self._connection.on_body(body)

    def on_message_complete(self) -> None:
        self._connection.on_message_complete()


class Connection(HttpToolsProtocol):
    """One connection: give it to uvicorn as `http`."""

    _waiting: asyncio.TimerHandle | None = None
    _received = 0
    _in_body = False  # of a request whose head is there
    _last = False  # the client asks for no other request after this one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the head of the first request."""
        self.parser = _Parser(self)  # type: ignore[assignment]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Of the head, count the bytes, from the first of each request."""
        if self._answered and self._waiting is None:
            self._wait()
        super().data_received(data)
        if self._waiting is not None and not self._in_body:
            self._received += len(data)
            if self._received > HEAD_BYTES:
                self._refuse(_LONG)

    def on_headers_complete(self) -> None:
        """The head is there: from here on the guard watches."""
        self._arrived()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refuse(_LONG)
            raise ValueError("the head is too long")  # so that the parser goes no further
        super().on_headers_complete()
        self._in_body = True
        self._last = not self.cycle.keep_alive
        # Who is cut off while it still sends does not come to read why it was refused.
        self.cycle.keep_alive = True

    def on_message_complete(self) -> None:
        """The body is there; if it was refused before that, its rest has been read and dropped."""
        if self.parser.should_upgrade():
            return  # it is still to be read, by the next parser
        self._arrived()
        self._in_body = False
        if self._last:
            self.cycle.keep_alive = False
        super().on_message_complete()
        if self._answered and self._last:
            self.transport.close()
        elif self._answered:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as every other error is."""
        self._refuse(_BAD)

    def _wait(self) -> None:
        self._received = 0
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._refuse, _SLOW)

    @property
    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _arrived(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self, problem: Problem) -> None:
        self._arrived()
        if self.transport.is_closing():
            return
        if self._in_body and self._answered:  # more would be taken for the answer to what follows
            self.transport.close()
            return
        length = {"content-length": str(len(problem.body)), "connection": "close"}
        head: dict[str, Any] = {**HEADERS, **problem.headers, **length}
        lines = [f"HTTP/1.1 {problem.status} {_REASONS[problem.status]}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + problem.body)
        self.transport.close()
