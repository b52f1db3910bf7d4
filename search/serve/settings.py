"""How a server is run: where it listens, whom it answers, and how much it takes on."""

import ipaddress
import re
from dataclasses import dataclass, field

from ...index.errors import UsageError

MIB = 1 << 20
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_ORIGIN = re.compile(rf"https?://{_HOST.pattern}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for. More is refused with an answer that says so.

    `body` and `bulk_body` are bytes of a request, the second where many texts come at once;
    `buffered` is bytes of all requests whose bodies are being read or worked on. `concurrency` is
    how many requests are worked on at once; `seconds` how long a request may take to arrive, how
    long until its answer begins, and how long each piece of it may take.
    """

    body: int = MIB
    bulk_body: int = 16 * MIB
    buffered: int = 256 * MIB
    query_chars: int = 8_192
    where_chars: int = 8_192
    queries: int = 256
    k: int = 1_000
    inputs: int = 2_048  # as many as OpenAI's API takes
    documents: int = 1_000  # to rerank
    concurrency: int = 64
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one server. The defaults answer this machine alone, and pages of no other origin.

    `token` is what a request must bear, None where none is asked for. `hosts` are names that the
    server is reached by beside the loopback ones and the address it is bound to, with or without a
    port; `origins` are of pages that may call it from a browser, as `https://app.example`;
    `rerank` is the one model that requests may ask to rerank with. `processes` is how many may
    search, with the server itself.
    """

    host: str = "127.0.0.1"
    port: int = 7700
    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    rerank: str | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        """UsageError where a host or an origin is not written as a browser would send it."""
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise UsageError(
                    f"{host!r} is no name of a host: write it in small letters, without scheme and"
                    " path, as search.example or search.example:8080"
                )
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"{origin!r} is no origin: write scheme, host and, if it is not the scheme's"
                    " own, port, in small letters, as https://app.example"
                )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def wildcard(self) -> bool:
        """Whether it listens on every address of the machine."""
        address = _address(self.host)
        return address is not None and address.is_unspecified

    @property
    def address(self) -> str:
        """Host and port by which this machine reaches the server."""
        host = as_host(self.host)
        if self.wildcard:
            host = LOOPBACK[2] if ":" in host else LOOPBACK[0]
        return f"{host}:{self.port}"

    @property
    def named(self) -> str:
        """Host and port by which others reach it: the first of `hosts`, where there is one."""
        if not self.hosts:
            return self.address
        return self.hosts[0] if _has_port(self.hosts[0]) else f"{self.hosts[0]}:{self.port}"

    @property
    def accepted_hosts(self) -> frozenset[str]:
        """The values of `Host` that are answered: exactly these, and no part of one."""
        names = [*LOOPBACK, *(name for name in self.hosts if not _has_port(name))]
        if not self.wildcard:
            names.append(as_host(self.host))
        with_port = {f"{name}:{self.port}" for name in names}
        # A browser leaves out port 80; what stands before a named host may take another port.
        bare = set(names) if self.port == 80 else set()
        return frozenset(with_port | bare | set(self.hosts))


def is_loopback(host: str) -> bool:
    """Whether an address that a server is bound to is reached from this machine alone."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def as_host(address: str) -> str:
    """As a browser writes an address in `Host`; as IPv4 where that is mapped to IPv6.

    >>> as_host("::ffff:192.0.2.1"), as_host("2001:DB8::1"), as_host("Search.Example")
    ('192.0.2.1', '[2001:db8::1]', 'search.example')
    """
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped) if found.ipv4_mapped else f"[{found.compressed}]"
    return address.lower() if found is None else str(found)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdecimal() and not host.endswith("]")
