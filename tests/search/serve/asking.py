"""Ask an ASGI app byte by byte: headers as they are, bodies in the parts and the time one likes."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1:7700"
JSON = ("content-type", "application/json")


@dataclass(frozen=True)
class Answered:
    """What an app sent back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        """The object of an answer that is no success; its keys are looked at."""
        found: dict[str, dict[str, str]] = json.loads(self.body)
        assert set(found) == {"error"}
        assert set(found["error"]) == {"message", "type", "code"}
        return found["error"]


def ask(app: Any, *request: Any, **more: Any) -> Answered:
    """As `asked`, with a loop of its own."""
    return asyncio.run(asked(app, *request, **more))


async def asked(
    app: Any,
    method: str = "GET",
    path: str = "/v1/indexes",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | Sequence[bytes] | None = None,
    *,
    host: str | None = HOST,
    chunked: bool = False,
    pause: float = 0.0,
    server: tuple[str, int] = ("127.0.0.1", 7700),
) -> Answered:
    """Send one request, its body in the parts given with a `pause` before each."""
    pairs = [*([("host", host)] if host is not None else []), *headers]
    parts = [] if body is None else [body] if isinstance(body, bytes) else list(body)
    names = {name for name, _ in pairs}
    if parts and chunked:
        pairs.append(("transfer-encoding", "chunked"))
    elif parts and "content-length" not in names:
        pairs.append(("content-length", str(sum(map(len, parts)))))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "client": ("127.0.0.1", 50_000),
        "server": server,
        "state": {},
    }
    waiting = list(parts) or [b""]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        if pause:
            await asyncio.sleep(pause)
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    found = [(name.decode(), value.decode()) for name, value in start["headers"]]
    assert len(dict(found)) == len(found), f"a header is there twice: {found}"
    return Answered(start["status"], dict(found), b"".join(part["body"] for part in rest))
