"""Vectors of texts, as OpenAI's API gives them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Request, Response
from pydantic import BeforeValidator, Field

from ...index.errors import UsageError
from .backend import Backend, as_json, backend_of
from .batching import BatchingEncoder
from .errors import ModelUnknown
from .health import model_name
from .indexes import Served
from .shapes import LIMITS, WITH_BODY, Asked, Told, Whole, error_responses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

router = APIRouter(tags=["models"])

Vector: TypeAlias = list[float] | str
Encoded: TypeAlias = tuple[list[Vector], int]

# So many texts are encoded before it is asked whether anyone waits for them.
SLICE = 64


def _texts_alone(value: Any) -> Any:
    """UsageError for tokens, which OpenAI's API takes in place of texts."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, int | list):
        raise UsageError(
            "input is an array of tokens: send text, for the tokens of one model mean nothing to"
            " another (LangChain: check_embedding_ctx_length=False)"
        )
    return value


class EmbeddingsRequest(Asked):
    """As OpenAI's clients send it; `input_type` is ours."""

    input: Annotated[
        str | list[str],
        BeforeValidator(_texts_alone),
        Field(
            description="A text, or several.",
            examples=[["Jade is green."]],
            json_schema_extra={"minItems": 1, "maxItems": LIMITS.inputs},
        ),
    ]
    model: str | None = Field(
        default=None,
        description="The name of a model that an index here is made with; it is only compared.",
        examples=["embedded"],
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Whole | None = Field(
        default=None, ge=1, description="Cut vectors to so many numbers, of unit length again."
    )
    input_type: Literal["query", "document"] = Field(
        default="document", description="With the model's prompt for queries, or for documents."
    )
    user: str | None = Field(default=None, description="Not used.")


class Embedding(Told):
    """A vector of unit length: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(Told):
    """Tokens of the texts, as the model's tokenizer counts them, without special ones."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Told):
    """The vectors, in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


@router.post(
    "/v1/embeddings",
    summary="Texts to vectors",
    response_model=EmbeddingsAnswer,
    responses=error_responses(*WITH_BODY, 404),
)
async def embeddings(request: Request, asked: EmbeddingsRequest) -> Response:
    """Vectors of texts, by the model that an index is made with."""
    backend = backend_of(request)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    most = backend.settings.limits.inputs
    if not 1 <= len(texts) <= most:
        raise UsageError(f"input has {len(texts)} texts: send 1 to {most}")
    run = backend.encodings.run

    def begun() -> tuple[str, BatchingEncoder, Encoded]:
        name, encoder = encoder_of(backend, asked.model)
        known = encoder.alone.dimension
        if asked.dimensions is not None and asked.dimensions > known:
            raise UsageError(f"dimensions is {asked.dimensions}: vectors of {name!r} have {known}")
        return name, encoder, _encoded(encoder, texts[:SLICE], asked)

    name, encoder, (told, tokens) = await run(request, begun)
    for start in range(SLICE, len(texts), SLICE):
        some = partial(_encoded, encoder, texts[start : start + SLICE], asked)
        more, count = await run(request, some)
        told += more
        tokens += count

    def answer() -> Response:
        return as_json(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": one}
                    for index, one in enumerate(told)
                ],
                "model": name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    return answer() if len(texts) <= SLICE else await run(request, answer)


def encoder_of(backend: Backend, model: str | None) -> tuple[str, BatchingEncoder]:
    """The encoder that an index is made with, and its name.

    Without a name, the one that all are made with. ModelUnknown where there is none of this name.
    """
    known: dict[str, Served] = {}
    for served in backend.indexes:
        with served.snapshot() as snapshot:
            known.setdefault(model_name(snapshot.options.model), served)
    if model is None and len(known) > 1:
        raise UsageError(f"name the model: there are {', '.join(map(repr, known))}")
    name = model or next(iter(known))
    if name not in known:
        raise ModelUnknown(f"there is no model {name!r}: there are {', '.join(map(repr, known))}")
    return name, known[name].encoder


def _encoded(encoder: BatchingEncoder, texts: Sequence[str], asked: EmbeddingsRequest) -> Encoded:
    """The vectors of some texts as they are sent, and how many tokens they have."""
    from ...index.encoder.modules import unit_length

    # Past the batching: many texts would keep out those who search, and of a long text's vector
    # nothing may hang on who else asks.
    if asked.input_type == "query":
        vectors = encoder.alone.encode_queries(texts)
    else:
        vectors = encoder.alone.encode_passages(texts)
    if asked.dimensions is not None:
        vectors = unit_length(vectors[:, : asked.dimensions])
    tokens = sum(map(len, encoder.alone.token_spans(texts)))
    return _base64(vectors) if asked.encoding_format == "base64" else _numbers(vectors), tokens


def _base64(vectors: NDArray[np.float32]) -> list[Vector]:
    return [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]


def _numbers(vectors: NDArray[np.float32]) -> list[Vector]:
    """To 8 decimals, as `clsearch embed` prints them."""
    rounded: list[Vector] = vectors.astype("f8").round(8).tolist()
    return rounded
