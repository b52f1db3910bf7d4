"""The guard before a toy app: who is let through, with what, and what all answers bear."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from asking import HOST, JSON, ask, asked
from clsearch.index.errors import UsageError
from clsearch.search.serve.guard import HEADERS, PAGE_POLICY, Guard
from clsearch.search.serve.settings import Limits, Settings, as_host, is_loopback

TOKEN = "correct-horse-battery-staple-0123456789"


class Toy:
    """Answers with the body it was sent, and remembers that it was asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        message = await receive()
        await asyncio.sleep(self.seconds)
        headers = [(b"content-type", b"application/json"), (b"X-Frame-Options", b"ALLOWALL")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": message["body"]})


def post(length: bytes, kind: bytes = b"application/json") -> dict[str, Any]:
    """The scope of a request with a body."""
    sent = {b"host": HOST.encode(), b"content-length": length, b"content-type": kind}
    return {"type": "http", "method": "POST", "path": "/v1/search", "headers": [*sent.items()]}


HOSTS = {
    "127.0.0.1:7700": 200,
    "localhost:7700": 200,
    "[::1]:7700": 200,
    "LOCALHOST:7700": 200,  # names know no case: this is the same host
    "127.0.0.1:evil.example": 421,
    "127.0.0.1:7700.evil.example": 421,
    "127.0.0.1.evil.example:7700": 421,
    "localhost.evil.example": 421,
    "localhost.evil.example:7700": 421,
    "evil.example": 421,
    "evil.example:7700": 421,
    "evil.example@127.0.0.1:7700": 421,
    "127.0.0.1:7700@evil.example": 421,
    "user:pass@localhost:7700": 421,
    "127.0.0.1": 421,
    "127.0.0.1:": 421,
    "127.0.0.1:80": 421,
    "127.0.0.1:07700": 421,
    "127.0.0.1:77000": 421,
    "127.0.0.1:7700/": 421,
    "127.0.0.1:7700, evil.example": 421,
    " 127.0.0.1:7700": 421,
    "http://127.0.0.1:7700": 421,
    "localhost.:7700": 421,
    "127.0.0.1.:7700": 421,
    "127.1:7700": 421,
    "0x7f.0.0.1:7700": 421,
    "2130706433:7700": 421,
    "0.0.0.0:7700": 421,
    "[::1]": 421,
    "::1:7700": 421,
    "[0:0:0:0:0:0:0:1]:7700": 421,
    "[::ffff:127.0.0.1]:7700": 421,
    "[::1%25lo]:7700": 421,
    "": 421,
}


@pytest.mark.parametrize("host", HOSTS)
def test_host(host: str) -> None:
    toy = Toy()
    answer = ask(Guard(toy, Settings()), host=host)
    assert answer.status == HOSTS[host]
    assert toy.asked == (answer.status == 200)


@pytest.mark.parametrize(
    "headers",
    [[], [("host", HOST), ("host", HOST)], [("host", HOST), ("host", "evil.example")]],
    ids=["none", "twice", "two"],
)
def test_a_request_has_one_host(headers: list[tuple[str, str]]) -> None:
    toy = Toy()
    assert ask(Guard(toy, Settings()), headers=headers, host=None).status == 400
    assert not toy.asked


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        (Settings(port=80), "127.0.0.1", 200),
        (Settings(hosts=("search.example",)), "search.example", 200),
        (Settings(hosts=("search.example",)), "search.example:7700", 200),
        (Settings(hosts=("search.example",)), "search.example:7701", 421),
        (Settings(hosts=("search.example",)), "a.search.example", 421),
        (Settings(hosts=("search.example:8080",)), "search.example:8080", 200),
        (Settings(hosts=("search.example:8080",)), "search.example:7700", 421),
        (Settings(host="192.0.2.7"), "192.0.2.7:7700", 200),
        (Settings(host="192.0.2.7"), "192.0.2.8:7700", 421),
        (Settings(host="2001:db8::7"), "[2001:db8::7]:7700", 200),
    ],
)
def test_hosts_that_are_named_or_bound(settings: Settings, host: str, status: int) -> None:
    assert ask(Guard(Toy(), settings), host=host).status == status


@pytest.mark.parametrize(
    ("own", "host", "status"),
    [
        ("192.0.2.7", "192.0.2.7:7700", 200),
        ("::ffff:192.0.2.7", "192.0.2.7:7700", 200),
        ("2001:db8::7", "[2001:db8::7]:7700", 200),
        ("192.0.2.7", "192.0.2.7:80", 421),
        ("192.0.2.7", "192.0.2.8:7700", 421),
        ("192.0.2.7", "0.0.0.0:7700", 421),
        ("evil.example", "evil.example:7700", 421),
    ],
)
def test_on_all_addresses_the_one_that_was_dialled(own: str, host: str, status: int) -> None:
    settings = Settings(host="0.0.0.0")
    assert ask(Guard(Toy(), settings), host=host, server=(own, 7700)).status == status


ORIGINS = {
    "http://127.0.0.1:7700": 200,
    "https://127.0.0.1:7700": 200,
    "http://localhost:7700": 403,  # another origin than the one that was asked
    "http://127.0.0.1": 403,
    "http://127.0.0.1:7701": 403,
    "http://127.0.0.1:7700.evil.example": 403,
    "http://127.0.0.1:7700@evil.example": 403,
    "http://evil.example": 403,
    "http://evil.example:7700": 403,
    "http://127.0.0.1:7700/": 403,
    "HTTP://127.0.0.1:7700": 403,
    "file://": 403,
    "null": 403,
    "": 403,
    "*": 403,
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_origin(origin: str) -> None:
    toy = Toy()
    answer = ask(Guard(toy, Settings()), headers=[("origin", origin)])
    assert answer.status == ORIGINS[origin]
    assert toy.asked == (answer.status == 200)
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_two_origins_are_none() -> None:
    same = ("origin", f"http://{HOST}")
    assert ask(Guard(Toy(), Settings()), headers=[same, same]).status == 403


@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [
        ("same-origin", "cors", "empty", 200),
        ("none", "navigate", "document", 200),
        ("cross-site", "no-cors", "script", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "no-cors", "script", 403),  # another port of this machine
        ("cross-site", "navigate", "document", 200),
        ("cross-site", "navigate", "iframe", 403),
    ],
)
def test_what_a_page_of_elsewhere_embeds(site: str, mode: str, dest: str, status: int) -> None:
    sent = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
    assert ask(Guard(Toy(), Settings()), headers=sent).status == status


NAMED = "https://app.example"


def test_a_named_origin_is_answered_and_may_read() -> None:
    guard = Guard(Toy(), Settings(origins=(NAMED,), token=TOKEN))
    bearer = ("authorization", f"Bearer {TOKEN}")
    answer = ask(guard, headers=[("origin", NAMED), ("sec-fetch-site", "cross-site"), bearer])
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == NAMED
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    refused = ask(guard, headers=[("origin", NAMED)])
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, NAMED)


@pytest.mark.parametrize("origin", ["http://app.example", f"{NAMED}:444", f"{NAMED}.evil.example"])
def test_near_a_named_origin(origin: str) -> None:
    answer = ask(Guard(Toy(), Settings(origins=(NAMED,))), headers=[("origin", origin)])
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"


def test_preflight() -> None:
    toy = Toy()
    guard = Guard(toy, Settings(origins=(NAMED,), token=TOKEN))
    asks = ("access-control-request-method", "POST")
    answer = ask(guard, "OPTIONS", "/v1/search", headers=[("origin", NAMED), asks])
    assert (answer.status, answer.body, toy.asked) == (204, b"", 0)
    assert answer.headers["access-control-allow-origin"] == NAMED
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    for origin in ("https://evil.example", f"http://{HOST}"):
        other = ask(guard, "OPTIONS", "/v1/search", headers=[("origin", origin), asks])
        assert other.status in (401, 403)
        assert not any(name.startswith("access-control") for name in other.headers)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([], 401),
        ([f"Bearer {TOKEN}"], 200),
        ([f"bearer  {TOKEN} "], 200),
        ([f"Bearer {TOKEN[:-1]}"], 401),
        ([f"Bearer {TOKEN}x"], 401),
        ([f"Basic {TOKEN}"], 401),
        ([TOKEN], 401),
        (["Bearer"], 401),
        (["Bearer \xff\xfe"], 401),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], 401),
    ],
)
def test_token(sent: list[str], status: int) -> None:
    toy = Toy()
    headers = [("authorization", value) for value in sent]
    answer = ask(Guard(toy, Settings(token=TOKEN)), headers=headers)
    assert (answer.status, toy.asked) == (status, status == 200)
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="clsearch"'
        assert answer.error["type"] == "authentication_error"
        assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *[("GET", path, 200) for path in ("/", "/page/app.js", "/healthz", "/readyz")],
        ("HEAD", "/healthz", 200),
        ("POST", "/", 401),
        ("GET", "/healthz/", 401),
        ("GET", "//healthz", 401),
        ("GET", "/page", 401),
        ("GET", "/metrics", 401),
        ("GET", "/openapi.json", 401),
        ("GET", "/v1/indexes", 401),
    ],
)
def test_what_is_read_without_a_token(method: str, path: str, status: int) -> None:
    assert ask(Guard(Toy(), Settings(token=TOKEN)), method, path).status == status


def test_without_a_token_no_body_is_read() -> None:
    async def receive() -> Any:
        pytest.fail("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(Toy(), Settings(token=TOKEN))(post(b"9", b"text/x"), receive, send))
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v1/search", ["application/json"], 200),
        ("/v1/search", ["Application/JSON; charset=UTF-8"], 200),
        ("/v1/search", [], 415),
        ("/v1/search", [""], 415),
        ("/v1/search", ["text/plain"], 415),
        ("/v1/search", ["text/plain; application/json"], 415),
        ("/v1/search", ["application/json, text/plain"], 415),
        ("/v1/search", ["application/json; charset=utf-7"], 415),
        ("/v1/search", ["application/jsonp"], 415),
        ("/v1/search", ["application/x-www-form-urlencoded"], 415),
        ("/v1/search", ["multipart/form-data; boundary=application/json"], 415),
        ("/v1/search", ["application/json", "application/json"], 415),
        ("/v1/search", ["application/x-ndjson"], 415),
        ("/v1/documents", ["application/x-ndjson"], 200),
        ("/v1/documents", ["application/json"], 200),
        ("/v1/documents/a", ["application/x-ndjson"], 415),
    ],
)
def test_content_type(path: str, sent: list[str], status: int) -> None:
    headers = [("content-type", value) for value in sent]
    assert ask(Guard(Toy(), Settings()), "POST", path, headers, b"{}").status == status
    assert (
        ask(Guard(Toy(), Settings()), "POST", path, headers, b"{}", chunked=True).status == status
    )


def test_a_compressed_body_is_refused() -> None:
    headers = [JSON, ("content-encoding", "gzip")]
    assert ask(Guard(Toy(), Settings()), "POST", "/v1/search", headers, b"{}").status == 415


SMALL = Settings(limits=Limits(body=10, bulk_body=20, buffered=30))


@pytest.mark.parametrize("path", ["/v1/search", "/v1/documents", "/v1/documents/a", "/v1/rerank"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("over", [0, 1])
def test_the_length_of_a_body(path: str, chunked: bool, over: int) -> None:
    toy = Toy()
    length = (10 if path == "/v1/search" else 20) + over
    parts = [b"x" * 7, b"x" * (length - 7)]
    answer = ask(Guard(toy, SMALL), "POST", path, [JSON], parts, chunked=chunked)
    if over:
        assert (answer.status, answer.error["code"], toy.asked) == (413, "too_large", 0)
    else:
        assert (answer.status, answer.body) == (200, b"x" * length)


@pytest.mark.parametrize("length", ["-1", "+2", "2 ", "0x2", "²", "2,2", "9" * 5_000, "x", ""])
def test_a_length_that_is_none(length: str) -> None:
    headers = [JSON, ("content-length", length)]
    answer = ask(Guard(Toy(), Settings()), "POST", "/v1/search", headers, b"{}")
    assert answer.status in (400, 413)


def test_a_length_that_is_a_lie() -> None:
    headers = [JSON, ("content-length", "2")]
    answer = ask(Guard(Toy(), SMALL), "POST", "/v1/search", headers, [b"x" * 6, b"x" * 6])
    assert answer.status == 413


@pytest.mark.parametrize(
    "codings", [["gzip, chunked"], ["gzip", "chunked"], ["identity"], ["chunked, chunked"], [""]]
)
def test_a_transfer_coding_that_is_not_known(codings: list[str]) -> None:
    """What it hides would be taken for the body itself."""
    toy = Toy()
    headers = [JSON, *(("transfer-encoding", coding) for coding in codings)]
    answer = ask(Guard(toy, Settings()), "POST", "/v1/search", headers, b"{}")
    assert (answer.status, answer.error["code"], toy.asked) == (501, "coding", 0)


def at_once(app: Any, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """The answers to requests that are sent together."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(asked(app, **one) for one in requests))

    return asyncio.run(all_of_them())


def test_so_many_at_once() -> None:
    guard = Guard(Toy(0.05), Settings(limits=Limits(concurrency=2)))
    paths = ["/v1/indexes"] * 4 + ["/healthz", "/readyz"]
    answers = at_once(guard, [{"path": path} for path in paths])
    assert [answer.status for answer in answers] == [200, 200, 503, 503, 200, 200]
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].error["type"] == "overloaded_error"
    assert ask(guard).status == 200


def test_so_many_bytes_at_once() -> None:
    guard = Guard(Toy(0.05), SMALL)
    one = {"method": "POST", "path": "/v1/documents", "headers": [JSON], "body": b"x" * 14}
    assert sorted(answer.status for answer in at_once(guard, [one] * 3)) == [200, 200, 503]
    assert ask(guard, **one).status == 200


def test_an_answer_that_does_not_come_in_time() -> None:
    guard = Guard(Toy(9.0), Settings(limits=Limits(seconds=0.05, concurrency=1)))
    for _ in range(2):
        answer = ask(guard)
        assert (answer.status, answer.error["code"]) == (504, "late")


def test_a_body_that_does_not_come_in_time() -> None:
    toy = Toy()
    guard = Guard(toy, Settings(limits=Limits(seconds=0.1)))
    parts = [b" "] * 20
    answer = ask(guard, "POST", "/v1/search", [JSON], parts, pause=0.02)
    assert (answer.status, answer.error["code"], toy.asked) == (408, "slow", 0)
    assert answer.headers["connection"] == "close"


def test_an_answer_that_has_begun_may_go_on() -> None:
    """Each part has the time that the first had."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5):
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    answer = ask(Guard(app, Settings(limits=Limits(seconds=0.15))))
    assert answer.body == b"xxxxx"


@pytest.mark.parametrize("error", [ValueError("/home/u/secret"), TimeoutError("/home/u/secret")])
@pytest.mark.parametrize("begun", [False, True])
def test_an_error_of_the_app(error: Exception, begun: bool, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    answer = ask(Guard(app, Settings()))
    assert answer.status == (200 if begun else 500)
    assert b"secret" not in answer.body
    assert "/home/u/secret" in caplog.text


def test_a_client_that_leaves_before_its_request_is_whole() -> None:
    toy, sent = Toy(), []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", HOST.encode()),
        (b"content-length", b"9"),
        (b"content-type", b"application/json"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": headers}
    asyncio.run(Guard(toy, Settings())(scope, receive, send))
    assert (toy.asked, sent) == (0, [])


def test_the_app_hears_that_the_client_left() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    messages = [
        {"type": "http.request", "body": b"{}", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [
        (b"host", HOST.encode()),
        (b"content-length", b"2"),
        (b"content-type", b"application/json"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": headers}
    asyncio.run(Guard(app, Settings())(scope, receive, receive))
    assert heard == ["http.request", "http.disconnect"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 421),
        ({"headers": [("origin", "null")]}, 403),
        ({"path": "/v1/search", "method": "POST", "body": b"{}"}, 415),
        ({"path": "/"}, 200),
        ({"path": "/page/app.js"}, 200),
    ],
)
def test_headers_of_every_answer(given: dict[str, Any], status: int) -> None:
    """They stand over what the app says itself."""
    answer = ask(Guard(Toy(), Settings()), **given)
    assert answer.status == status
    expected = dict(HEADERS)
    if given.get("path") in ("/", "/page/app.js"):
        expected["content-security-policy"] = PAGE_POLICY
    assert expected.items() <= answer.headers.items()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_websockets_are_closed_and_the_lifespan_goes_through() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(scope["type"])

    asyncio.run(Guard(app, Settings())({"type": "websocket", "headers": []}, send, send))
    asyncio.run(Guard(app, Settings())({"type": "lifespan"}, send, send))
    assert sent == [{"type": "websocket.close", "code": 1008}, "lifespan"]


@pytest.mark.parametrize(
    "host", ["*", "*.example", "Search.Example", "http://a.example", "a/b", "a@b", "", "a:b", "a."]
)
def test_a_host_that_cannot_be_named(host: str) -> None:
    with pytest.raises(UsageError, match="no name of a host"):
        Settings(hosts=(host,))


@pytest.mark.parametrize(
    "origin", ["*", "null", "app.example", "https://*.example", "https://app.example/", "ftp://a.b"]
)
def test_an_origin_that_cannot_be_named(origin: str) -> None:
    with pytest.raises(UsageError, match="no origin"):
        Settings(origins=(origin,))


def test_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.0.2.1", "localhost.example", ""]))
    assert as_host("::1") == "[::1]"
