"""Texts in the order of how well they answer, as Cohere's and Jina's APIs give it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import exp
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ...index.errors import UsageError
from ..rerank import PairScorer
from .backend import as_json, backend_of
from .errors import ModelUnknown
from .health import model_name
from .shapes import LIMITS, WITH_BODY, Asked, Text, Told, Whole, error_responses

router = APIRouter(tags=["models"])

# So many texts are read before it is asked whether anyone waits for them.
SLICE = 16


class RerankDocument(Asked):
    """A text in an object, as Jina's clients may send it."""

    text: str


class RerankRequest(Asked):
    """As Cohere's and Jina's clients send it."""

    query: Text = Field(examples=["What colour is jade?"])
    documents: list[str | RerankDocument] = Field(
        examples=[["Jade is green.", "Iron rusts."]],
        json_schema_extra={"minItems": 1, "maxItems": LIMITS.documents},
    )
    model: str | None = Field(
        default=None, description="The name of the server's reranker; it is only compared."
    )
    top_n: Whole | None = Field(default=None, ge=1, description="How many results at most.")
    return_documents: bool = False


class RerankResult(Told):
    """A text by its place in `documents`, and how well it answers, between 0 and 1."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankAnswer(Told):
    """The best first."""

    model: str
    results: list[RerankResult]


@router.post(
    "/v1/rerank",
    summary="Order texts by how well they answer",
    response_model=RerankAnswer,
    responses=error_responses(*WITH_BODY, 404),
)
@router.post("/v2/rerank", include_in_schema=False)  # where Cohere's client asks
async def rerank(request: Request, asked: RerankRequest) -> Response:
    """Texts in the order of how well they answer a query, by the server's reranker."""
    backend = backend_of(request)
    limits = backend.settings.limits
    if backend.settings.rerank is None:
        raise ModelUnknown("this server has no reranker: start it with --rerank MODEL")
    name = model_name(backend.settings.rerank)
    if asked.model not in (None, name):
        raise ModelUnknown(f"there is no reranker {asked.model!r}: there is {name!r}")
    if len(asked.query) > limits.query_chars:
        raise UsageError(
            f"query has {len(asked.query)} characters: give at most {limits.query_chars}"
        )
    if not 1 <= len(asked.documents) <= limits.documents:
        raise UsageError(
            f"there are {len(asked.documents)} documents: send 1 to {limits.documents}"
        )
    texts = [one if isinstance(one, str) else one.text for one in asked.documents]
    run = backend.encodings.run
    scorer = await run(request, backend.reranker)
    raw: list[float] = []
    for start in range(0, len(texts), SLICE):
        some = texts[start : start + SLICE]
        raw += await run(request, partial(_scores, scorer, asked.query, some))
    scores = raw if scorer.bounded else [1 / (1 + exp(-max(score, -500.0))) for score in raw]
    order = sorted(range(len(texts)), key=lambda place: -scores[place])[: asked.top_n]
    results: list[dict[str, Any]] = [
        {"index": place, "relevance_score": round(scores[place], 6)} for place in order
    ]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    return as_json({"model": name, "results": results})


def _scores(scorer: PairScorer, query: str, texts: Sequence[str]) -> list[float]:
    scores: list[float] = scorer.scores(query, texts).tolist()
    return scores
