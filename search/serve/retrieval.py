"""Search, and documents like another."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ...index.errors import UsageError
from .backend import Backend, as_json, backend_of
from .searches import Search, Similar
from .shapes import (
    LIMITS,
    WITH_BODY,
    Asked,
    Hit,
    IndexName,
    K,
    Text,
    Told,
    Where,
    error_responses,
)

router = APIRouter(tags=["search"])


class SearchRequest(Asked):
    """One `query`, or several `queries` that are answered together."""

    query: Text | None = Field(
        default=None,
        description='What to look for. It may have marks: a "phrase", -word, title:word.',
        examples=["how do I reset the router?"],
    )
    queries: list[Text] | None = Field(
        default=None,
        description="In place of `query`.",
        json_schema_extra={"minItems": 1, "maxItems": LIMITS.queries},
    )
    index: IndexName = None
    k: K = 10
    mode: Literal["hybrid", "dense", "lexical"] = Field(
        default="hybrid", description="By vectors (dense), by words (lexical), or by both."
    )
    where: Where = None
    rerank: bool = Field(
        default=False, description="Let the server's reranker order the best anew, if it has one."
    )
    min_score: float = Field(default=0.0, ge=0, le=1, description="Leave out hits below.")
    group: Literal["passage", "document"] = Field(
        default="passage", description="Every passage, or each document once."
    )


class SearchAnswer(Told):
    """The hits for a query, as `clsearch search --json` prints them, and the index's name."""

    query: str
    mode: str
    index: str
    took_ms: float | None = None
    hits: list[Hit]


class SearchAnswers(Told):
    """An answer for each of `queries`."""

    index: str
    took_ms: float
    answers: list[SearchAnswer]


@router.post(
    "/v1/search",
    summary="Find the passages that answer",
    response_model=SearchAnswer | SearchAnswers,
    responses=error_responses(*WITH_BODY, 404),
)
async def search(request: Request, asked: SearchRequest) -> Response:
    """The passages that answer a query in your own words, best first."""
    began = time.perf_counter()
    backend = backend_of(request)
    served = backend.indexes.get(asked.index)
    texts = _texts(asked, backend)
    check_k(asked.k, backend)
    check_where(asked.where, backend)
    if asked.rerank and backend.settings.rerank is None:
        raise UsageError("this server has no reranker: start it with --rerank MODEL")

    question = Search(texts, asked.k, asked.mode, asked.where, asked.min_score, asked.group)

    def work() -> Response:
        found = backend.answer(served, question, asked.rerank)
        took = {"took_ms": round(1000 * (time.perf_counter() - began), 1)}
        about = {"mode": asked.mode, "index": served.name}
        if asked.queries is None:
            return as_json({"query": texts[0], **about, **took, "hits": found.hits[0]})
        answers = [
            {"query": text, **about, "hits": hits}
            for text, hits in zip(texts, found.hits, strict=True)
        ]
        return as_json({"index": served.name, **took, "answers": answers})

    return await backend.workers.run(request, work)


class SimilarRequest(Asked):
    """A document of the index."""

    document: str = Field(description="Its id.", examples=["notes/a.md"])
    index: IndexName = None
    k: K = 10
    where: Where = None


class SimilarAnswer(Told):
    """The documents most like it, each by its best passage."""

    document: str
    index: str
    took_ms: float
    hits: list[Hit]


@router.post(
    "/v1/similar",
    summary="Find documents like another",
    response_model=SimilarAnswer,
    responses=error_responses(*WITH_BODY, 404),
)
async def similar(request: Request, asked: SimilarRequest) -> Response:
    """The other documents that are most like one of the index, best first."""
    began = time.perf_counter()
    backend = backend_of(request)
    served = backend.indexes.get(asked.index)
    check_k(asked.k, backend)
    check_where(asked.where, backend)

    def work() -> Response:
        found = backend.answer(served, Similar(asked.document, asked.k, asked.where))
        return as_json(
            {
                "document": asked.document,
                "index": served.name,
                "took_ms": round(1000 * (time.perf_counter() - began), 1),
                "hits": found.hits[0],
            }
        )

    return await backend.workers.run(request, work)


def check_k(k: int, backend: Backend) -> None:
    """UsageError where more hits are asked for than the server gives at once."""
    most = backend.settings.limits.k
    if k > most:
        raise UsageError(f"k is {k}: this server gives at most {most} hits at once")


def _texts(asked: SearchRequest, backend: Backend) -> list[str]:
    """The queries. UsageError where there are none or too many, or one is blank or too long."""
    limits = backend.settings.limits
    if (asked.query is None) == (asked.queries is None):
        raise UsageError("give a query, or queries, and not both")
    texts = [asked.query] if asked.query is not None else asked.queries or []
    if not texts or len(texts) > limits.queries:
        raise UsageError(f"there are {len(texts)} queries: give 1 to {limits.queries}")
    longest = max(map(len, texts))
    if longest > limits.query_chars:
        raise UsageError(f"a query has {longest} characters: give at most {limits.query_chars}")
    return texts


def check_where(where: str | None, backend: Backend) -> None:
    """UsageError where a filter is longer than this server reads.

    A filter is worked out inside of a read transaction, for whose end a writer waits.
    """
    most = backend.settings.limits.where_chars
    if where is not None and len(where) > most:
        raise UsageError(
            f"where has {len(where)} characters: give at most {most}; `key in ('a', 'b')` says what"
            " many comparisons say"
        )
