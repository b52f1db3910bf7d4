"""What stands before the app: no request reaches it, and no answer leaves, unguarded."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from . import checks
from .checks import Head, Refused
from .errors import RETRY_AFTER, UNEXPECTED, Problem, log_unexpected
from .settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OWN_FILES = "script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
# A page may load what is beside it and ask this server, and nothing else.
PAGE_POLICY = f"{_NOTHING}; {_OWN_FILES}"

HEADERS: Mapping[str, str] = {
    "content-security-policy": _NOTHING,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_OVERLOADED = Problem(
    503, "the server is at work on as much as it takes on at once", "overloaded", RETRY_AFTER
)
_SLOW = Problem(408, "the request did not arrive in time", "slow")
_LATE = Problem(504, "no answer was found in time: ask for less at once", "late")


class _Gone(Exception):
    """The client closed the connection before its request was whole."""


class Guard:
    """An ASGI app that lets through to another what `settings` allow.

    Host, origin and token are looked at before the body, content type and length before it is read,
    and the app gets it whole, once it is there and within the limit. Every refusal is a JSON object
    as `errors` describes it. An answer must begin, and then go on, within `limits.seconds`.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        """Before `app`."""
        self._app = app
        self._settings = settings
        self._hosts = settings.accepted_hosts
        self._running = 0  # requests that are worked on
        self._buffered = 0  # bytes of their bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the server's start and end go through to the app as they are."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._guarded(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, whatever happens: a refusal, an error, or no answer in time."""
        seconds = self._settings.limits.seconds
        try:
            async with asyncio.timeout(seconds) as clock:
                answer = _Answer(Head.of(scope), send, clock, seconds)
                try:
                    await self._admitted(scope, receive, answer)
                except Refused as refused:
                    await answer.refuse(refused.problem)
                except _Gone:
                    pass
                except Exception as error:
                    log_unexpected(error)
                    await answer.refuse(UNEXPECTED)
        except TimeoutError:
            await answer.refuse(_LATE if answer.arrived else _SLOW)

    async def _admitted(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        """Let the request through to the app, or raise `Refused`."""
        head, settings = answer.head, self._settings
        checks.check_host(head, settings, self._hosts)
        if settings.origins:
            answer.headers["vary"] = "Origin"
        origin = checks.check_origin(head, settings)
        if origin is not None:
            answer.headers |= checks.cors_headers(origin)
            if checks.is_preflight(head):
                await answer.send_whole(204, checks.preflight_headers(), b"")
                return
        checks.check_token(head, settings)
        checks.check_type(head)
        limit = settings.limits.bulk_body if head.is_bulk else settings.limits.body
        checks.check_length(head, limit)
        self._check_load(head)
        body = bytearray()
        self._running += 1
        try:
            if head.has_body:
                more = True
                while more:
                    part, more = await _next_part(receive)
                    body += part
                    self._buffered += len(part)
                    self._check_body(len(body), limit)
                receive = _given(bytes(body), receive)
            answer.arrived = True
            await self._app(scope, receive, answer.send)
        finally:
            self._running -= 1
            self._buffered -= len(body)

    def _check_load(self, head: Head) -> None:
        # Whoever watches over a server that is busy must hear that it is alive.
        if head.path not in checks.HEALTH and self._running >= self._settings.limits.concurrency:
            raise Refused(_OVERLOADED)

    def _check_body(self, size: int, limit: int) -> None:
        if size > limit:
            raise Refused(checks.too_large(limit))
        if self._buffered > self._settings.limits.buffered:
            raise Refused(_OVERLOADED)


class _Answer:
    """The answer to one request: by the app, or a refusal, with the headers that all have."""

    def __init__(self, head: Head, send: Send, clock: asyncio.Timeout, seconds: float) -> None:
        self.head = head
        self.arrived = False  # the request, whole
        self.headers = dict(HEADERS)
        if head.path == "/" or head.path.startswith(checks.PUBLIC_BELOW):
            self.headers["content-security-policy"] = PAGE_POLICY
        self._send = send
        self._clock = clock
        self._seconds = seconds
        self._started = False

    async def send(self, message: Message) -> None:
        """What the app sends, with the headers of every answer, which stand over its own."""
        if message["type"] == "http.response.start":
            self._started = True
            own = {name.encode(): value.encode() for name, value in self.headers.items()}
            others = [pair for pair in message.get("headers", ()) if pair[0].lower() not in own]
            if not any(name.lower() == b"cache-control" for name, _ in others):
                own[b"cache-control"] = b"no-store"
            message = {**message, "headers": [*others, *own.items()]}
        if not self._clock.expired():
            self._clock.reschedule(asyncio.get_running_loop().time() + self._seconds)
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Say why; nothing, where an answer has begun: the connection is then closed."""
        if self._started:
            return
        headers = problem.headers
        if problem.status == 408:
            headers = {**headers, "connection": "close"}  # how much is to come is not known
        await self.send_whole(problem.status, headers, problem.body)

    async def send_whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """An answer that the app has no part in."""
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        if status != 204:
            pairs.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
        if self.head.method == "HEAD":
            body = b""
        await self.send({"type": "http.response.body", "body": body})


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    """Of a body, the next bytes, and whether there are more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _Gone
    return message.get("body", b""), message.get("more_body", False)


def _given(body: bytes, receive: Receive) -> Receive:
    """What gives the body as one message, and then what `receive` gives: that the client left."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return messages.pop() if messages else await receive()

    return given
