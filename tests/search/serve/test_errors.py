"""What clients are told: one shape, the right status, and no path of the machine."""

import inspect
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from asking import JSON, ask
from clsearch.index import errors
from clsearch.index.errors import ClsearchError, UsageError
from clsearch.index.index import Index
from clsearch.search.serve.errors import (
    IndexUnknown,
    error_body,
    invalid,
    log_unexpected,
    problem_of,
)
from clsearch.search.serve.handlers import add_handlers
from serving import serving
from words_encoder import WordsEncoder

STATUS = {
    "ClsearchError": 500,
    "UsageError": 400,
    "SourceError": 400,
    "DocumentMissing": 404,
    "ReadError": 400,
    "NotADocument": 400,
    "ModelError": 500,
    "IndexMissing": 404,
    "IndexLocked": 503,
    "IndexMismatch": 500,
    "IndexDamaged": 500,
    "IndexUnwritable": 507,
    "IndexUnknown": 404,
}
KINDS: list[type[BaseException]] = [
    *(kind for _, kind in inspect.getmembers(errors, inspect.isclass)),
    IndexUnknown,
]
OTHERS = [OSError(28, "full"), sqlite3.OperationalError("x"), ValueError("x"), MemoryError("x")]
PATHS = [
    "/home/jo/notes.clsearch/index.db",
    "/home/jo smith/notes",
    "~/notes.clsearch",
    "~jo/notes",
    "C:\\Users\\jo\\notes",
    "d:/notes/index.db",
    "\\\\server\\share\\notes",
]
MESSAGES = ["the index {!r} is broken", "{}", "cannot open {}: gone", "[{}]", "a:{}", "file://{}"]


def test_every_class_has_a_status() -> None:
    """A class that is added to the tree must be given one here, and looked at."""
    assert {kind.__name__ for kind in KINDS} == set(STATUS)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_path_leaves(kind: type[BaseException], path: str) -> None:
    for message in MESSAGES:
        problem = problem_of(kind(message.format(path)))
        assert problem.status == STATUS[kind.__name__]
        for part in ("jo", "notes", "index.db", "Users"):
            assert part not in problem.body.decode(), problem


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_what_is_not_expected_says_nothing(error: Exception) -> None:
    error.args = ("/home/jo/notes", *error.args)
    problem = problem_of(error)
    assert (problem.status, problem.code) == (500, "internal")
    assert "jo" not in problem.body.decode()


def test_a_subclass_is_told_as_its_base() -> None:
    class Other(UsageError):
        pass

    assert problem_of(Other("k is 0")).message == "k is 0"


@pytest.mark.parametrize(
    "message",
    [
        "k is 0: ask for at least 1 hit",
        "mode is 'x': there are dense, lexical, hybrid",
        "no document 'notes/a.md', and/or one of 2/3; see https",
        "where: `tag = 'a'` is 3:4 of it",
    ],
)
def test_words_without_paths_go_out_as_they_are(message: str) -> None:
    assert problem_of(UsageError(message)).message == message


def test_shape() -> None:
    assert error_body("m", "t", "c") == {"error": {"message": "m", "type": "t", "code": "c"}}
    kinds = {kind.__name__: problem_of(kind("x")).type for kind in KINDS}
    assert kinds["UsageError"] == "invalid_request_error"
    assert kinds["DocumentMissing"] == "not_found_error"
    assert kinds["IndexLocked"] == "overloaded_error"
    assert kinds["IndexDamaged"] == "server_error"
    assert problem_of(errors.IndexLocked("x")).headers["retry-after"] == "1"


def test_invalid_says_where_and_not_what() -> None:
    found = [{"loc": ("body", "k"), "msg": f"wrong {number}", "input": "s"} for number in range(5)]
    problem = invalid(found)
    assert problem.status == 422
    assert problem.message == "body.k: wrong 0; body.k: wrong 1; body.k: wrong 2; and 2 more"


def test_invalid_cuts_a_long_key() -> None:
    problem = invalid([{"loc": ("body", "k" * 100_000), "msg": "wrong"}])
    assert problem.message == f"body.{'k' * 60}: wrong"


def test_a_log_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    """A line break or an escape sequence in a message stays inside of its string."""
    try:
        raise ValueError("a\nERROR forged\r\x1b[2J\u2028") from KeyError("cause\nERROR forged")
    except ValueError as error:
        log_unexpected(error)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    lines = record.getMessage().splitlines()
    assert lines[0] == r"ValueError: 'a\nERROR forged\r\x1b[2J\u2028'"
    assert not [line for line in lines if line.startswith("ERROR")]
    assert any(line.startswith("KeyError") for line in lines)
    assert any(line.endswith("in test_a_log_cannot_be_forged") for line in lines)


@pytest.fixture
def app() -> FastAPI:
    """Routes that fail in every way."""
    app = FastAPI()
    add_handlers(app)

    @app.post("/fails/{name}")
    def fails(name: str, body: dict[str, int]) -> None:
        known: dict[str, type[BaseException]] = {kind.__name__: kind for kind in KINDS}
        raise known.get(name, ZeroDivisionError)("/home/jo/notes")

    return app


@pytest.mark.parametrize("name", [*STATUS, "ZeroDivisionError"])
def test_routes_answer_so(app: FastAPI, name: str, caplog: pytest.LogCaptureFixture) -> None:
    try:
        answer: Any = ask(app, "POST", f"/fails/{name}", [JSON], b"{}")
    except ZeroDivisionError:  # answered, and then raised again for the server: see the guard
        return
    assert answer.status == STATUS[name]
    assert "jo" not in answer.error["message"]
    assert ("/home/jo/notes" in caplog.text) == (answer.status in (500, 507))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("GET", "/fails/a", None, 405),
        ("POST", "/fails/a", b"{", 422),
        ("POST", "/fails/a", b'{"a": "secret"}', 422),
        ("POST", "/fails/a", b"\xff", 400),
    ],
)
def test_what_no_route_takes(
    app: FastAPI, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = ask(app, method, path, [JSON], body)
    assert answer.status == status
    assert "secret" not in answer.error["message"]
    if status == 405:
        assert answer.headers["allow"] == "POST"


def test_what_may_be_done_at_a_path_is_told_whole(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", encoder=WordsEncoder()) as index:
        index.add([{"id": "a", "text": "jade"}])
    with serving(tmp_path / "index", WordsEncoder()) as client:
        answers = {
            path: client.patch(path, json={})
            for path in ("/v1/documents/a", "/v1/documents", "/v1/search", "/")
        }
    assert {answer.status_code for answer in answers.values()} == {405}
    assert {path: answer.headers["allow"] for path, answer in answers.items()} == {
        "/v1/documents/a": "DELETE, GET, PUT",
        "/v1/documents": "POST",
        "/v1/search": "POST",
        "/": "GET, HEAD",
    }


def test_the_base_of_all() -> None:
    assert all(issubclass(kind, ClsearchError) for kind in KINDS)
