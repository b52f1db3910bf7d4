"""The JSON of requests and answers, as /openapi.json describes it.

Requests are checked by these models, to the letter: no other keys, no string where a number is due.
Answers are described by them and do not go through them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .settings import Limits

LIMITS = Limits()


class Asked(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Told(BaseModel):
    """The body of an answer."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has numbers of one kind: 10.0 is an integer, as JSON Schema has it.
Whole = Annotated[int, BeforeValidator(_whole)]


class ErrorDetail(Told):
    """What went wrong, and what to do."""

    message: str = Field(examples=["there is no index 'note': there are 'notes', 'mail'"])
    type: str = Field(examples=["not_found_error"])
    code: str = Field(examples=["index_unknown"])


class Error(Told):
    """Every answer that is no success."""

    error: ErrorDetail


IndexName = Annotated[
    str | None,
    Field(
        description="The name of the index, as GET /v1/indexes lists it; may be left away where "
        "the server has one.",
        examples=["notes"],
    ),
]
K = Annotated[
    Whole,
    Field(
        ge=1,
        description="How many hits at most.",
        json_schema_extra={"maximum": LIMITS.k},
    ),
]
Where = Annotated[
    str | None,
    Field(
        description="Only what passes this filter.",
        examples=["lang = 'en' and path like 'notes/%'"],
        json_schema_extra={"maxLength": LIMITS.where_chars},
    ),
]
Text = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": LIMITS.query_chars})]


class Passage(Told):
    """A span of a document; offsets count code points of the document's text."""

    id: int
    start: int
    end: int
    line: int
    page: int | None
    heading: str
    text: str


class Sentence(Told):
    """The sentence of the passage that answers best."""

    start: int
    end: int
    text: str


class Hit(Told):
    """A passage that answers. Below a score of 1/2 it is `weak`: no nearer than unrelated text."""

    rank: int
    score: float
    weak: bool
    document: str
    title: str
    passage: Passage
    sentence: Sentence
    marks: list[tuple[int, int]] = Field(
        description="The words that match: start and end of each.", examples=[[[144, 149]]]
    )
    scores: dict[str, float] = Field(examples=[{"dense": 0.63, "lexical": 7.1}])
    metadata: dict[str, Any]
    duplicates: list[str]
    more: list[Hit] | None = Field(
        default=None, description="With `group`: further passages of the document, if there are."
    )


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside success."""
    return {status: {"model": Error, "description": DESCRIPTIONS[status]} for status in statuses}


DESCRIPTIONS = {
    400: "The request cannot be right; the message says why.",
    401: "The server asks for its token: `Authorization: Bearer TOKEN`.",
    403: "Pages of this origin may not ask.",
    404: "There is no such index, document or model.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body's content type is not the one that the route takes.",
    421: "The server does not go by the name in the Host header.",
    422: "The body is not of the shape that is described here.",
    500: "The server met an error; its log says more.",
    501: "The body comes in a transfer coding that the server does not know.",
    503: "Busy, or another program writes to the index: try again after `Retry-After` seconds.",
    504: "No answer was found in time.",
    507: "The server's disk does not take what must be written.",
}
# What the guard may say to any request, and to those that have a body.
ALWAYS = (400, 401, 403, 421, 500, 503, 504)
WITH_BODY = (*ALWAYS, 408, 413, 415, 422, 501)
