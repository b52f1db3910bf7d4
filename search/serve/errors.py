"""What a client is told when a request fails: one shape, and no path of this machine.

    {"error": {"message": "…", "type": "invalid_request_error", "code": "usage"}}

It is the shape of OpenAI's API, whose clients read `message` and `type`. What a client did wrong is
told in the words of the error, so that it can be mended; what is wrong with the server is told in
words that are written here, and goes to the server's log in full.
"""

import json
import logging
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...index.errors import (
    ClsearchError,
    DocumentMissing,
    IndexDamaged,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    IndexUnwritable,
    ModelError,
    ReadError,
    SourceError,
    UsageError,
)

logger = logging.getLogger("clsearch.serve")

RETRY_AFTER = 1  # seconds
LONGEST_KEY = 60

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
# A slash or a drive that begins a path, and not one inside of `and/or` or `notes/a.md`.
_PATH = re.compile(r"(?<![\w.)\]-])(?:~[\w.-]*)?/\w|\b[A-Za-z]:[\\/]|\\\\\w")


class IndexUnknown(UsageError):
    """The server has no index of the name that a request gives."""


class ModelUnknown(UsageError):
    """The server has no model of the name that a request gives."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is no success. `retry_after` is in seconds; None: trying again is vain."""

    status: int
    message: str
    code: str
    retry_after: int | None = None
    challenge: str | None = None  # what to authenticate with

    @property
    def type(self) -> str:
        """The kind of error, in the words of OpenAI's API."""
        other = "invalid_request_error" if self.status < 500 else "server_error"
        return _TYPES.get(self.status, other)

    @property
    def is_unexpected(self) -> bool:
        """Whether it goes to the server's log: something is wrong with the server."""
        return self.status >= 500 and self.retry_after is None

    @property
    def body(self) -> bytes:
        """The JSON of the answer."""
        return json.dumps(error_body(self.message, self.type, self.code)).encode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, in small letters."""
        found = {"content-type": "application/json"}
        if self.retry_after is not None:
            found["retry-after"] = str(self.retry_after)
        if self.challenge is not None:
            found["www-authenticate"] = self.challenge
        return found


def error_body(message: str, type: str, code: str) -> dict[str, dict[str, str]]:
    """The JSON object of every answer that is no success."""
    return {"error": {"message": message, "type": type, "code": code}}


UNEXPECTED = Problem(
    500, "the server met an error that it did not expect: its log has it", "internal"
)

# By class; the nearest base of an error counts. Status and code alone: its own words go out.
_PROBLEMS: Mapping[type[BaseException], Problem | tuple[int, str]] = {
    ClsearchError: UNEXPECTED,
    UsageError: (400, "usage"),
    DocumentMissing: Problem(404, "the index has no document of this id", "document_missing"),
    IndexUnknown: (404, "index_unknown"),
    ModelUnknown: (404, "model_not_found"),
    SourceError: Problem(400, "a source cannot be read", "source"),
    ReadError: (400, "document"),
    ModelError: Problem(500, "the server's model cannot be used: its log says why", "model"),
    IndexMissing: Problem(404, "the index is no longer there", "index_missing"),
    IndexLocked: Problem(
        503, "another program writes to the index: try again", "index_locked", RETRY_AFTER
    ),
    IndexMismatch: Problem(
        500,
        "the index is of another encoder or version than the server: its log says more",
        "index_mismatch",
    ),
    IndexDamaged: Problem(
        500,
        "a file of the index is damaged: run `clsearch check --repair` where the server runs",
        "index_damaged",
    ),
    IndexUnwritable: Problem(
        507, "the server's disk does not take what must be written: its log says why", "disk"
    ),
}


def problem_of(error: BaseException) -> Problem:
    """What a client is told of an error. Nothing of it is logged: see `log_unexpected`."""
    found = next((_PROBLEMS[base] for base in type(error).__mro__ if base in _PROBLEMS), UNEXPECTED)
    if isinstance(found, Problem):
        return found
    status, code = found
    return Problem(status, _without_paths(str(error)), code)


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Of a body that does not fit its schema, from pydantic's list of what is wrong with it.

    The first three are told, by place and reason; of what the client sent, the names of keys alone
    are said back to it, up to LONGEST_KEY characters of each.
    """
    told = [
        f"{'.'.join(str(part)[:LONGEST_KEY] for part in error['loc'])}: {error['msg']}"
        for error in errors[:3]
    ]
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return Problem(422, "; ".join(told) + more, "invalid")


def log_unexpected(error: BaseException) -> None:
    """Write to the server's log what a client is not told: types, messages and places.

    Messages may hold what a request said. They are written as Python writes a string, so that no
    line break and no escape sequence in them can pass for a line of the log.
    """
    logger.error("\n".join(_lines(error)))


def _lines(error: BaseException) -> Iterator[str]:
    one: BaseException | None = error
    while one is not None:
        yield f"{type(one).__name__}: {str(one)!a}"
        for frame in traceback.extract_tb(one.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        one = one.__cause__ or one.__context__


def _without_paths(message: str) -> str:
    """The message, where it names no path of a file system.

    Errors of use speak of what the request said, so one that names a path speaks of the server, or
    the path was the client's own; what was wrong is then told without the words.
    """
    return "the request cannot be answered as it stands" if _PATH.search(message) else message
