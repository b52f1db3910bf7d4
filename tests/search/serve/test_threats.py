"""Each threat of docs/security.md: what is tried fails, and succeeds once the defence is out.

A threat is a test case: `tried` is what an attacker does to the whole app, and says whether it was
to any avail; `taken_out` removes the one defence that the page names. The second half shows that
the first would be noticed if it came about.
"""

import asyncio
import difflib
import hmac
import json
import logging
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from test_connection import HEAD, talk

from asking import JSON, Answered, ask, asked
from clsearch.index.files import DATABASE
from clsearch.index.index import Index
from clsearch.index.store import store
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Document, Filter
from clsearch.search import filters, searcher
from clsearch.search.serve import (
    checks,
    connection,
    errors,
    guard,
    handlers,
    openai,
    retrieval,
    tokens,
)
from clsearch.search.serve.app import create_app
from clsearch.search.serve.errors import Problem
from clsearch.search.serve.guard import Guard
from clsearch.search.serve.indexes import Indexes, Served
from clsearch.search.serve.settings import Limits, Settings
from words_encoder import WordsEncoder

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "security.md"
TOKEN = "correct-horse-battery-staple-0123456789"
EVIL = "https://evil.example"
SECRET = "the jade is under the stairs"
UNLIMITED = 10**9

Monkey = pytest.MonkeyPatch


@dataclass
class Scene:
    """A server of an index, and a folder beside it that it has nothing to do with."""

    path: Path
    other: Path
    settings: Settings
    monkey: Monkey
    caplog: pytest.LogCaptureFixture

    @property
    def app(self) -> Any:
        """The app as `clsearch serve` makes it, but with the fake encoder."""
        return create_app([self.path], self.settings, load=lambda model, pooling: WordsEncoder())

    def ask(self, *request: Any, **more: Any) -> Answered:
        """The answer of the app, or of what uvicorn would make of an error."""
        return ask(self.app, *request, **more)

    def search(self, query: str = "jade", headers: Any = (), **more: Any) -> Answered:
        """The answer to POST /v1/search."""
        body = more.pop("body", None) or as_body(query=query, **more.pop("asked", {}))
        return self.ask("POST", "/v1/search", [JSON, *headers], body, **more)


def as_body(**values: Any) -> bytes:
    """JSON."""
    return json.dumps(values).encode()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: Monkey, caplog: pytest.LogCaptureFixture) -> Scene:
    """With a document that is told and one that only a filter of `lang` keeps back."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path, other = tmp_path / "home-of-jo" / "notes.clsearch", tmp_path / "other.clsearch"
    given = [
        {"id": "a", "text": "jade is green", "metadata": {"lang": "en"}},
        {"id": "b", "text": SECRET, "metadata": {"lang": "de"}},
    ]
    for one in (path, other):
        with Index.open(one, encoder=WordsEncoder()) as index:
            index.add(given)
    (tmp_path / "secret.txt").write_text(SECRET, encoding="utf-8")
    return Scene(path, other, Settings(), monkeypatch, caplog)


def nothing(*_: Any, **__: Any) -> None:
    """In place of a check."""


def found(answer: Answered, text: str = "jade") -> bool:
    """Whether the answer is a success that tells what is in the index."""
    return answer.status == 200 and text.encode() in answer.body


# What is tried: True where it was to some avail.


def rebinding(scene: Scene) -> bool:
    return found(scene.search(host="127.0.0.1:evil.example"))


def another_page_writes(scene: Scene) -> bool:
    sent = [JSON, ("origin", EVIL)]
    return scene.ask("PUT", "/v1/documents/c", sent, as_body(text="bad")).status == 201


def another_page_reads(scene: Scene) -> bool:
    answer = scene.search(headers=[("origin", EVIL)])
    return found(answer) and answer.headers.get("access-control-allow-origin") == EVIL


def another_page_is_not_asked_first(scene: Scene) -> bool:
    sent = [("origin", EVIL), ("access-control-request-method", "PUT")]
    answer = scene.ask("OPTIONS", "/v1/documents/c", sent)
    return "access-control-allow-methods" in answer.headers


def another_page_embeds(scene: Scene) -> bool:
    sent = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]
    return found(scene.ask("GET", "/v1/documents/a", sent))


def an_old_browser_embeds(scene: Scene) -> bool:
    headers = scene.ask("GET", "/v1/documents/a").headers
    return not (
        headers["content-type"] == "application/json"
        and headers.get("x-content-type-options") == "nosniff"
        and headers.get("cross-origin-resource-policy") == "same-origin"
    )


def a_form_is_sent(scene: Scene) -> bool:
    line = as_body(id="c", text="bad")
    return found(scene.ask("POST", "/v1/documents", [("content-type", "text/plain")], line), "c")


def a_frame_around_the_page(scene: Scene) -> bool:
    headers = scene.ask("GET", "/").headers
    policy = headers.get("content-security-policy", "")
    return "frame-ancestors 'none'" not in policy or headers.get("x-frame-options") != "DENY"


def a_script_in_the_page(scene: Scene) -> bool:
    policy = scene.ask("GET", "/").headers.get("content-security-policy", "")
    kinds = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    return kinds.get("default-src") != "'none'" or kinds.get("script-src") != "'self'"


def asked_from_elsewhere(scene: Scene) -> bool:
    scene.settings = replace(scene.settings, host="192.0.2.7", token=TOKEN)
    return found(scene.search(host="192.0.2.7:7700"))


def the_body_is_parsed_first(scene: Scene) -> bool:
    scene.settings = replace(scene.settings, token=TOKEN)
    return scene.search(body=b"{").status == 422


def the_token_is_timed(scene: Scene) -> bool:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return given == wanted

    scene.settings = replace(scene.settings, token=TOKEN)
    scene.monkey.setattr(hmac, "compare_digest", compare)
    scene.search(headers=[("authorization", "Bearer c")])
    return compared != [(b"c", TOKEN.encode())]


def another_user_reads_the_token(scene: Scene) -> bool:
    path = tokens.token_path()
    before = os.umask(0)
    try:
        tokens.kept_token()
    finally:
        os.umask(before)
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def another_user_puts_a_token(scene: Scene) -> bool:
    path = tokens.token_path()
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text(TOKEN, encoding="ascii")
    path.chmod(0o666)
    try:
        return tokens.kept_token() == TOKEN
    except errors.UsageError:
        return False


def another_user_reads_the_index(scene: Scene) -> bool:
    path, before = scene.other.with_name("new.clsearch"), os.umask(0)
    try:
        with Index.open(path, encoder=WordsEncoder()) as index:
            index.add([{"id": "a", "text": "jade"}])
    finally:
        os.umask(before)
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def a_path_for_an_id(scene: Scene) -> bool:
    ids = ["../../secret.txt", "%2e%2e/secret.txt", str(scene.other.with_name("secret.txt"))]
    return any(found(scene.ask("GET", f"/v1/documents/{id}"), SECRET) for id in ids)


def a_path_for_an_index(scene: Scene) -> bool:
    names = [str(scene.other), "../other.clsearch", f"notes/../../{scene.other.name}"]
    return any(found(scene.search(asked={"index": name})) for name in names)


def a_model_of_ones_own(scene: Scene) -> bool:
    loaded: list[str] = []

    def load(model: str, pooling: str | None) -> WordsEncoder:
        loaded.append(model)
        return WordsEncoder()

    scene.monkey.setattr("clsearch.index.encoder.Encoder.load", load)
    app = create_app([scene.path], scene.settings, load=load)
    for model in ("evil/model", "/tmp/evil"):
        ask(app, "POST", "/v1/embeddings", [JSON], as_body(input="jade", model=model))
        ask(app, "POST", "/v1/search", [JSON], as_body(query="jade", rerank=model))
        ask(app, "POST", "/v1/search", [JSON], as_body(query="jade", model=model))
    return any("evil" in model for model in loaded)


INJECTED = [
    "1=1) OR (1=1",
    "lang = 'en') OR (1=1",
    "lang = 'en' OR 1=1 --",
    "lang = 'en'' OR 1=1 --'",
    "EXISTS (SELECT 1)",
]


def sql_in_a_filter(scene: Scene) -> bool:
    return any(found(scene.search(asked={"where": where}), SECRET) for where in INJECTED)


def a_path_in_an_error(scene: Scene) -> bool:
    with closing(sqlite3.connect(scene.path / DATABASE)) as database:
        database.execute("DROP TABLE passages")
    return "home-of-jo" in scene.search().body.decode()


def a_line_in_the_log(scene: Scene) -> bool:
    def broken(*_: Any) -> None:
        raise ValueError("x\nERROR all is lost")

    scene.monkey.setattr(retrieval, "check_k", broken)
    scene.caplog.set_level(logging.ERROR)
    scene.search()
    return "ERROR all is lost" in [
        line for record in scene.caplog.records for line in record.getMessage().splitlines()
    ]


def a_body_without_end(scene: Scene) -> bool:
    parts = [b" " * 1_000_000] * 2
    answers = [
        scene.ask("POST", "/v1/search", [JSON], parts, chunked=chunked) for chunked in (True, False)
    ]
    return any(answer.status != 413 for answer in answers)


def a_body_that_trickles(scene: Scene) -> bool:
    scene.settings = replace(scene.settings, limits=Limits(seconds=0.1))
    parts = [as_body(query="jade"), *[b" "] * 10]
    return found(scene.ask("POST", "/v1/search", [JSON], parts, pause=0.03))


def a_head_that_trickles(scene: Scene) -> bool:
    return b"HTTP/1.1 408 " not in talk([HEAD[:9], HEAD[9:30]], 0.1)


def a_head_without_end(scene: Scene) -> bool:
    long = [b"X-Long: " + b"x" * 60_000 + b"\r\n"] * 3
    return b"HTTP/1.1 431 " not in talk([HEAD, *long], 0.05)


def at_once(scene: Scene, count: int, **request: Any) -> list[int]:
    """The statuses of so many requests that an app which takes its time is sent together."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def all_of_them() -> list[int]:
        app = Guard(slow, scene.settings)
        answers = await asyncio.gather(*(asked(app, **request) for _ in range(count)))
        return [answer.status for answer in answers]

    return asyncio.run(all_of_them())


def very_many_at_once(scene: Scene) -> bool:
    return at_once(scene, scene.settings.limits.concurrency + 1).count(503) != 1


def memory_filled_with_bodies(scene: Scene) -> bool:
    scene.settings = replace(scene.settings, limits=Limits(buffered=2_000_000))
    one = {"method": "POST", "path": "/v1/rerank", "headers": [JSON], "body": b" " * 900_000}
    return at_once(scene, 3, **one).count(503) != 1


def an_answer_that_never_comes(scene: Scene) -> bool:
    scene.settings = replace(scene.settings, limits=Limits(seconds=0.02))
    return at_once(scene, 1) != [504]


def a_bomb(scene: Scene) -> bool:
    sent = [JSON, ("content-encoding", "gzip")]
    return scene.ask("POST", "/v1/search", sent, as_body(query="jade")).status != 415


def too_much_is_asked(scene: Scene) -> bool:
    limits = Limits()
    asks = [
        {"query": "jade " * limits.query_chars},
        {"queries": ["jade"] * (limits.queries + 1)},
        {"query": "jade", "k": limits.k + 1},
        {"query": "jade", "where": "lang = 'en'" + " or lang = 'en'" * (limits.where_chars // 15)},
    ]
    answers = [scene.ask("POST", "/v1/search", [JSON], as_body(**one)) for one in asks]
    answers.append(
        scene.ask("POST", "/v1/similar", [JSON], as_body(document="a", where=asks[-1]["where"]))
    )
    answers.append(
        scene.ask("POST", "/v1/embeddings", [JSON], as_body(input=["a"] * (limits.inputs + 1)))
    )
    return any(answer.status == 200 for answer in answers)


def ids_that_are_long_to_compare(scene: Scene) -> bool:
    compared: list[str] = []

    def compare(id: str, known: list[str]) -> list[str]:
        compared.append(id)
        return []

    scene.monkey.setattr(difflib, "get_close_matches", compare)
    scene.ask("POST", "/v1/similar", [JSON], as_body(document="a" * 100_000))
    return bool(compared)


# How a defence is taken out.


def without(target: Any, name: str, instead: Any = nothing) -> Callable[[Scene], None]:
    """With something else in place of the function."""
    return lambda scene: scene.monkey.setattr(target, name, instead)


def unlimited(scene: Scene) -> None:
    limits = Limits(query_chars=UNLIMITED, queries=UNLIMITED, k=UNLIMITED, inputs=UNLIMITED)
    limits = replace(limits, where_chars=UNLIMITED)
    scene.settings = replace(scene.settings, limits=limits)


def any_origin(head: checks.Head, settings: Settings) -> str | None:
    return head.one("origin")


def compared_letter_by_letter(head: checks.Head, settings: Settings) -> None:
    if head.one("authorization") != f"Bearer {settings.token}":
        raise checks.Refused(Problem(401, "", ""))


def token_for_all(scene: Scene) -> None:
    scene.monkey.setattr(tokens, "_check_file", nothing)
    scene.monkey.setattr(os, "fchmod", lambda descriptor, mode: None)
    opened = os.open
    scene.monkey.setattr(os, "open", lambda path, flags, mode=0: opened(path, flags, 0o666))


def folders_as_the_umask_has_them(scene: Scene) -> None:
    scene.monkey.setattr(store.os, "chmod", nothing)
    made = Path.mkdir
    scene.monkey.setattr(Path, "mkdir", lambda path, mode=0, **more: made(path, 0o777, **more))


def ids_are_paths(scene: Scene) -> None:
    def read(snapshot: Snapshot, id: str) -> Document | None:
        path = Path(snapshot.index, id)
        return Document(id, "", path.read_text()) if path.is_file() else None

    scene.monkey.setattr(Snapshot, "document", read)


def index_names_are_paths(scene: Scene) -> None:
    by_name = Indexes.get

    def get(indexes: Indexes, name: str | None = None) -> Served:
        if name is None or "/" not in name:
            return by_name(indexes, name)
        return Served(name, Path(name), next(iter(indexes))._encoders)

    scene.monkey.setattr(Indexes, "get", get)


def models_are_loaded_by_name(scene: Scene) -> None:
    def encoder_of(backend: Any, model: str) -> Any:
        encoders = next(iter(backend.indexes))._encoders
        return model, encoders._load(model, None)

    scene.monkey.setattr(openai, "encoder_of", encoder_of)


def errors_in_their_own_words(scene: Scene) -> None:
    scene.monkey.setattr(handlers, "problem_of", lambda error: Problem(500, str(error), ""))


def read_as_it_comes(scene: Scene) -> None:
    scene.monkey.setattr(checks, "check_length", nothing)
    scene.monkey.setattr(Guard, "_check_body", nothing)


def without_time(scene: Scene) -> None:
    timeout = asyncio.timeout
    scene.monkey.setattr(asyncio, "timeout", lambda seconds: timeout(None))


def uvicorn_alone(scene: Scene) -> None:
    scene.monkey.setattr(connection.Connection, "_wait", nothing)


Tried = Callable[[Scene], bool]
Removed = Callable[[Scene], None]
NO_HEADERS = without(guard, "HEADERS", {})
NO_ORIGIN = without(checks, "check_origin", lambda head, settings: None)
ANY_ORIGIN = without(checks, "check_origin", any_origin)

THREATS: dict[str, tuple[Tried, Removed]] = {
    "dns-rebinding": (rebinding, without(checks, "check_host")),
    "cross-site-write": (another_page_writes, NO_ORIGIN),
    "cross-site-read": (another_page_reads, ANY_ORIGIN),
    "cross-site-preflight": (another_page_is_not_asked_first, ANY_ORIGIN),
    "cross-site-embed": (another_page_embeds, NO_ORIGIN),
    "cross-site-script": (an_old_browser_embeds, NO_HEADERS),
    "form-post": (a_form_is_sent, without(checks, "check_type")),
    "clickjacking": (a_frame_around_the_page, NO_HEADERS),
    "page-script": (a_script_in_the_page, without(guard, "PAGE_POLICY", "")),
    "no-token": (asked_from_elsewhere, without(checks, "check_token")),
    "parse-before-token": (the_body_is_parsed_first, without(checks, "check_token")),
    "token-timing": (
        the_token_is_timed,
        without(checks, "check_token", compared_letter_by_letter),
    ),
    "token-read": (another_user_reads_the_token, token_for_all),
    "token-planted": (another_user_puts_a_token, without(tokens, "_check_file")),
    "index-read": (another_user_reads_the_index, folders_as_the_umask_has_them),
    "path-as-id": (a_path_for_an_id, ids_are_paths),
    "path-as-index": (a_path_for_an_index, index_names_are_paths),
    "model-name": (a_model_of_ones_own, models_are_loaded_by_name),
    "sql-in-filter": (sql_in_a_filter, without(filters, "parse", Filter)),
    "path-in-error": (a_path_in_an_error, errors_in_their_own_words),
    "log-line": (a_line_in_the_log, without(errors, "_lines", lambda error: [str(error)])),
    "large-body": (a_body_without_end, read_as_it_comes),
    "slow-body": (a_body_that_trickles, without_time),
    "slow-head": (a_head_that_trickles, uvicorn_alone),
    "large-head": (a_head_without_end, uvicorn_alone),
    "compressed-body": (a_bomb, without(checks, "check_type")),
    "many-requests": (very_many_at_once, without(Guard, "_check_load")),
    "many-bodies": (memory_filled_with_bodies, without(Guard, "_check_body")),
    "late-answer": (an_answer_that_never_comes, without_time),
    "large-question": (too_much_is_asked, unlimited),
    "long-id": (ids_that_are_long_to_compare, without(searcher, "HINTED_LENGTH", UNLIMITED)),
}


@pytest.mark.parametrize("threat", THREATS)
def test_threat(threat: str, scene: Scene) -> None:
    """In vain as it is."""
    scene.monkey.setattr(connection, "HEAD_SECONDS", 0.15)
    tried, _ = THREATS[threat]
    assert not tried(scene)


@pytest.mark.parametrize("threat", THREATS)
def test_threat_without_its_defence(threat: str, scene: Scene) -> None:
    """Else the test above would hold whatever the code does."""
    scene.monkey.setattr(connection, "HEAD_SECONDS", 0.15)
    tried, taken_out = THREATS[threat]
    taken_out(scene)
    assert tried(scene)


ROW = re.compile(r"^\| .* \| `([\w/.-]+)`(?:, `([\w/.-]+)`)? \|$", re.MULTILINE)
TESTS = Path(__file__).parent.parent.parent


def test_the_page_has_a_row_for_each() -> None:
    """A row names the threats above, or other files of tests, as `test_daemon.py`."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    named = {name for row in rows for name in row if name}
    files = {name for name in named if name.endswith(".py")}
    assert named - files == set(THREATS)
    for name in files:
        assert (TESTS / name).is_file(), name
