"""Who may ask, and with what: read from the head of a request, before any of its body.

Each check raises `Refused`. They run in the order they stand here.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import Problem
from .settings import Settings, as_host

JSON = "application/json"
LINES = "application/x-ndjson"

DOCUMENTS = "/v1/documents"
# Where many texts, or one that is a document, come in one request.
BULK = (DOCUMENTS, "/v1/embeddings", "/v1/rerank")
# The page asks for the token, so it can be read without; what it shows cannot.
PUBLIC = frozenset({"/", "/healthz", "/readyz"})
PUBLIC_BELOW = "/page/"
HEALTH = frozenset({"/healthz", "/readyz"})

_METHODS = "GET, POST, PUT, DELETE"
_ALLOWED_HEADERS = "authorization, content-type"
_FOREIGN = {"cross-site", "same-site"}


class Refused(Exception):
    """The request is answered with a problem, and goes no further."""

    def __init__(self, problem: Problem) -> None:
        """With what is answered."""
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Head:
    """Of a request, all but its body. `headers` are by name in small letters, as often as sent."""

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]
    server: tuple[str, int | None] | None  # the address the connection came in on

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> "Head":
        """Of an ASGI scope."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return cls(scope["method"], scope["path"], headers, scope.get("server"))

    def one(self, name: str) -> str | None:
        """The value of a header that was sent once; None where it was not sent, or more often."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None

    @property
    def has_body(self) -> bool:
        """Whether bytes are announced to follow."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", ["0"]) != [
            "0"
        ]

    @property
    def is_bulk(self) -> bool:
        """Whether the larger limit of a body holds."""
        return any(self.path == path or self.path.startswith(f"{path}/") for path in BULK)


def check_host(head: Head, settings: Settings, accepted: frozenset[str]) -> None:
    """`Host` is one that this server goes by, to the letter.

    A page whose name was made to lead to this machine (DNS rebinding) still sends its own name.
    """
    host = head.one("host")
    if host is None:
        raise Refused(Problem(400, "a request has one Host header: send it once", "host"))
    if host.lower() in accepted or _is_own_address(host, head, settings):
        return
    raise Refused(
        Problem(
            421,
            "the server does not go by the name in the Host header: use the address that it"
            " printed, or name the host when it is started",
            "host",
        )
    )


def check_origin(head: Head, settings: Settings) -> str | None:
    """A page that asks is of this server, or of an origin that was named; which of these, if so.

    Other programs send no `Origin`, and nor do browsers for what a page embeds; but those then say
    by `Sec-Fetch-Site` that another site asks. A link that leads here is followed.
    """
    origins = head.headers.get("origin", ())
    if not origins:
        followed = (
            head.method == "GET"
            and head.one("sec-fetch-mode") == "navigate"
            and head.one("sec-fetch-dest") == "document"
        )
        if _FOREIGN.isdisjoint(head.headers.get("sec-fetch-site", ())) or followed:
            return None
    elif len(origins) == 1:
        if origins[0] in settings.origins:
            return origins[0]
        host = (head.one("host") or "").lower()
        if origins[0] in (f"http://{host}", f"https://{host}"):
            return None
    raise Refused(
        Problem(
            403,
            "pages of this origin may not ask: name it when the server is started, if they shall",
            "origin",
        )
    )


def is_preflight(head: Head) -> bool:
    """Whether a browser asks if a page may ask: the one request that can bear no token."""
    return head.method == "OPTIONS" and "access-control-request-method" in head.headers


def cors_headers(origin: str) -> dict[str, str]:
    """What lets a page of a named origin read the answer."""
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "retry-after",
    }


def preflight_headers() -> dict[str, str]:
    """What a page of a named origin may send."""
    return {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": _ALLOWED_HEADERS,
        "access-control-max-age": "600",
    }


def check_token(head: Head, settings: Settings) -> None:
    """The request bears the server's token, where there is one; compared in constant time."""
    if settings.token is None or _is_public(head):
        return
    scheme, _, given = (head.one("authorization") or "").partition(" ")
    token = settings.token.encode()
    if hmac.compare_digest(given.strip().encode("latin-1"), token) and scheme.lower() == "bearer":
        return
    raise Refused(
        Problem(
            401,
            "the server's token is needed, as `Authorization: Bearer TOKEN`",
            "token",
            challenge='Bearer realm="clsearch"',
        )
    )


def check_type(head: Head) -> None:
    """A body is JSON and says so: what an HTML form can send is refused, and what is compressed."""
    if not head.has_body:
        return
    allowed = [JSON, LINES] if head.path == DOCUMENTS else [JSON]
    kind, _, parameters = (head.one("content-type") or "").lower().partition(";")
    if (
        kind.strip() not in allowed
        or parameters.strip() not in ("", "charset=utf-8", 'charset="utf-8"')
        or head.headers.get("content-encoding", ["identity"]) != ["identity"]
    ):
        raise Refused(
            Problem(
                415,
                f"a body must have the content type {' or '.join(allowed)}, in UTF-8, as it is",
                "content_type",
            )
        )


def check_length(head: Head, limit: int) -> None:
    """The body that `Content-Length` announces is within the limit, or it comes in chunks."""
    coded = head.headers.get("transfer-encoding", ["chunked"])
    if [coding.strip().lower() for coding in coded] != ["chunked"]:
        raise Refused(
            Problem(501, "a body may come in chunks, and in no other transfer coding", "coding")
        )
    announced = head.headers.get("content-length", ["0"])
    # `isdecimal` alone takes digits of other scripts, and `int` thousands of digits.
    if len(announced) != 1 or not (announced[0].isascii() and announced[0].isdecimal()):
        raise Refused(Problem(400, "Content-Length is no number", "length"))
    if len(announced[0]) > 15 or int(announced[0]) > limit:
        raise Refused(too_large(limit))


def too_large(limit: int) -> Problem:
    """The answer to a body that is longer than the limit."""
    return Problem(413, f"the body is longer than {limit} bytes: send less at once", "too_large")


def _is_own_address(host: str, head: Head, settings: Settings) -> bool:
    """Whether `Host` is the very address that the connection came in on, as an address.

    Where the server listens on all addresses, it need not be told them. A name is never taken, so
    nothing that DNS says matters.
    """
    if not settings.wildcard or head.server is None:
        return False
    own = as_host(head.server[0])
    is_address = own.startswith("[") or own.replace(".", "").isdecimal()
    return is_address and host in (own if settings.port == 80 else "", f"{own}:{settings.port}")


def _is_public(head: Head) -> bool:
    return head.method in ("GET", "HEAD") and (
        head.path in PUBLIC or head.path.startswith(PUBLIC_BELOW)
    )
