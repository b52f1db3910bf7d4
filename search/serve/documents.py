"""Documents: put into an index, read, taken out; one by one or many in a request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.convertors import Convertor, register_url_convertor

from ...index.errors import ClsearchError, DocumentMissing, UsageError
from ...index.index import checked
from ...index.report import Put
from ...index.store.documents import storable
from ...index.types import Document
from .backend import as_json, backend_of
from .checks import DOCUMENTS, LINES
from .errors import problem_of
from .indexes import Served
from .shapes import ALWAYS, WITH_BODY, Asked, ErrorDetail, Told, error_responses
from .working import Gone, result_of

router = APIRouter(tags=["documents"])


class _AnyText(Convertor[str]):
    """Starlette's `path`, but for line feeds: there, the last one would be left away."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _AnyText())

# Of a long body, so many documents or characters are committed at once: some seconds of work.
SLICE_DOCUMENTS = 256
SLICE_CHARACTERS = 250_000

Named = Annotated[
    str | None,
    Query(alias="index", description="The index's name; may be left away where there is one."),
]
Id = Annotated[str, Path(description="The document's id, which may have slashes.")]


class DocumentRequest(Asked):
    """A document."""

    text: str = Field(examples=["Hold the button for ten seconds."])
    title: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict, examples=[{"lang": "en"}])


class DocumentAnswer(Told):
    """A document as it is stored."""

    document: str
    index: str
    title: str
    text: str
    metadata: dict[str, Any]


class PutAnswer(Told):
    """What became of a document.

    `encoded` counts its passages that went through the encoder, `reused` those whose vector was
    there.
    """

    document: str
    index: str
    result: Literal["created", "updated", "unchanged"]
    encoded: int
    reused: int


class RemovedAnswer(Told):
    """It is gone."""

    document: str
    index: str
    result: Literal["removed"]


class LineAnswer(Told):
    """What became of one line; either `error`, or the others."""

    line: int
    document: str | None = None
    result: Literal["created", "updated", "unchanged"] | None = None
    encoded: int | None = None
    reused: int | None = None
    error: ErrorDetail | None = None


@router.put(
    f"{DOCUMENTS}/{{id:id}}",
    summary="Put a document",
    response_model=PutAnswer,
    responses={
        201: {"model": PutAnswer, "description": "It was not there before."},
        **error_responses(*WITH_BODY, 404, 507),
    },
)
async def put(request: Request, id: Id, given: DocumentRequest, index: Named = None) -> Response:
    """Add a document, or bring it up to date. Once this is answered, searches find it."""
    backend = backend_of(request)
    served = backend.indexes.get(index)
    document = document_of(
        {"id": id, "title": given.title, "text": given.text, "metadata": given.metadata}
    )
    [done] = await result_of(request, backend.writers.of(served).put([document]))
    return as_json(_told(done, served), 201 if done.result == "created" else 200)


@router.get(
    f"{DOCUMENTS}/{{id:id}}",
    summary="Read a document",
    response_model=DocumentAnswer,
    responses=error_responses(*ALWAYS, 404, 422),
)
async def get(request: Request, id: Id, index: Named = None) -> Response:
    """A document, whole: the offsets of hits count code points of its text."""
    backend = backend_of(request)
    served = backend.indexes.get(index)

    def work() -> Response:
        with served.snapshot() as snapshot:
            found = snapshot.document(id)
        if found is None:
            raise DocumentMissing(f"the index has no document {id!r}")
        return as_json(
            {
                "document": found.id,
                "index": served.name,
                "title": found.title,
                "text": found.text,
                "metadata": dict(found.metadata),
            }
        )

    return await backend.workers.run(request, work)


@router.delete(
    f"{DOCUMENTS}/{{id:id}}",
    summary="Take a document out",
    response_model=RemovedAnswer,
    responses=error_responses(*ALWAYS, 404, 422, 507),
)
async def remove(request: Request, id: Id, index: Named = None) -> Response:
    """Take a document out of the index. A file stays, and the next sync brings it back."""
    backend = backend_of(request)
    served = backend.indexes.get(index)
    await result_of(request, backend.writers.of(served).remove(id))
    return as_json({"document": id, "index": served.name, "result": "removed"})


_LINE_SCHEMA = LineAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
del _LINE_SCHEMA["$defs"]  # they are among the components


@router.post(
    DOCUMENTS,
    summary="Put many documents",
    response_class=StreamingResponse,
    responses={
        **error_responses(*WITH_BODY, 404, 507),
        200: {
            "description": "A line for each line, as soon as it is committed.",
            "content": {LINES: {"schema": _LINE_SCHEMA}},
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A JSON object a line: id, text, and maybe title and metadata.",
            "content": {
                LINES: {
                    "schema": {"type": "string"},
                    "example": '{"id": "a", "text": "Jade is green."}\n',
                }
            },
        }
    },
)
async def put_many(request: Request, index: Named = None) -> Response:
    """Add documents, or bring them up to date: a JSON object a line (NDJSON) in, and one out.

    They are committed in slices, and answered as they are. A line that is no document is answered
    with its error, and the others are taken nevertheless.
    """
    backend = backend_of(request)
    served = backend.indexes.get(index)
    writer = backend.writers.of(served)
    slices = _slices(await request.body())

    async def written(some: Sequence[_Line]) -> bytes:
        documents = [line.document for line in some if line.document is not None]
        puts = await result_of(request, writer.put(documents)) if documents else []
        told = _answers(some, puts, served)
        return b"".join(json.dumps(one).encode() + b"\n" for one in told)

    async def following() -> list[_Line] | None:
        return await backend.encodings.run(request, partial(next, slices, None))

    first = await following()
    if first is None:
        raise UsageError("the body has no line: send a JSON object a line, with id and text")
    begun = await written(first)  # what goes wrong here has a status of its own

    async def answered() -> AsyncIterator[bytes]:
        yield begun
        try:
            while some := await following():
                try:
                    yield await written(some)
                except ClsearchError as error:
                    yield _refused(some, error)
        except Gone:
            return

    return StreamingResponse(answered(), media_type=LINES)


def document_of(given: Any, number: int = 0) -> Document:
    """A document as the index can hold it. UsageError where it is none."""
    try:
        return storable(checked(given, number))
    except RecursionError as error:
        raise UsageError("the metadata is nested too deeply") from error


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the body: the document in it, or what is wrong with it."""

    number: int
    document: Document | None
    error: dict[str, Any] | None


def _slices(body: bytes) -> Iterator[list[_Line]]:
    """The lines that are not blank, some at a time."""
    some: list[_Line] = []
    characters = 0
    for number, text in enumerate(BytesIO(body), start=1):
        if not text.strip():
            continue
        line = _read(number, text)
        some.append(line)
        characters += len(line.document.text) if line.document else 0
        if len(some) >= SLICE_DOCUMENTS or characters >= SLICE_CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some


def _read(number: int, text: bytes) -> _Line:
    try:
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the line is no JSON ({error}): send it again, mended") from error
        return _Line(number, document_of(given), None)
    except UsageError as error:
        return _Line(number, None, _error(error))


def _error(error: ClsearchError) -> dict[str, Any]:
    problem = problem_of(error)
    return {"error": {"message": problem.message, "type": problem.type, "code": problem.code}}


def _answers(some: Sequence[_Line], puts: Sequence[Put], served: Served) -> list[dict[str, Any]]:
    following = iter(puts)
    return [
        {"line": line.number, **(line.error or _told(next(following), served))} for line in some
    ]


def _refused(some: Sequence[_Line], error: ClsearchError) -> bytes:
    told = [{"line": line.number, **(line.error or _error(error))} for line in some]
    return b"".join(json.dumps(one).encode() + b"\n" for one in told)


def _told(put: Put, served: Served) -> dict[str, Any]:
    return {
        "document": put.document,
        "index": served.name,
        "result": put.result,
        "encoded": put.encoded,
        "reused": put.reused,
    }
