"""What there is, and how it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ...index.errors import ClsearchError
from .backend import as_json, backend_of
from .errors import problem_of
from .indexes import Served
from .shapes import ALWAYS, Told, error_responses

router = APIRouter(tags=["server"])


class IndexFacts(Told):
    """One index of the server. Where it cannot be read now, there are its name and `problem`."""

    name: str
    documents: int
    passages: int
    generation: int
    segments: int
    waiting: int
    tombstones: int
    model: str
    dimension: int | None
    fingerprint: str
    problem: str | None = None


class IndexList(Told):
    """All indexes of the server."""

    indexes: list[IndexFacts]


class Alive(Told):
    """The server answers."""

    ok: bool


class Ready(Told):
    """Whether models and indexes are loaded; `problems` by index: what keeps it from answering."""

    ready: bool
    problems: dict[str, str]


@router.get(
    "/v1/indexes",
    summary="List the indexes",
    response_model=IndexList,
    responses=error_responses(*ALWAYS),
)
async def indexes(request: Request) -> Response:
    """The indexes of this server: what each holds, and what its vectors are made with."""
    backend = backend_of(request)

    def work() -> Response:
        return as_json({"indexes": [_facts(served) for served in backend.indexes]})

    return await backend.workers.run(request, work)


@router.get("/healthz", summary="Is it alive?", response_model=Alive)
async def healthz() -> Response:
    """It is, where this is answered."""
    return as_json({"ok": True})


@router.get(
    "/readyz",
    summary="Can it answer at full speed?",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not yet."}},
)
async def readyz(request: Request) -> Response:
    """Whether models are loaded and each index was asked once; 503 until then."""
    backend = backend_of(request)
    return as_json(
        {"ready": backend.ready, "problems": backend.problems}, 200 if backend.ready else 503
    )


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        **error_responses(*ALWAYS),
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
async def metrics(request: Request) -> Response:
    """Latencies by route and by stage, what waits and what runs, and what the indexes hold."""
    backend = backend_of(request)
    text = await backend.workers.run(request, backend.metrics.text)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def model_name(model: str) -> str:
    """A model as others may know it: of a folder, its name alone.

    >>> model_name("/home/ada/models/tiny"), model_name("BAAI/bge-small-en-v1.5")
    ('tiny', 'BAAI/bge-small-en-v1.5')
    """
    path = Path(model)
    return path.name if path.is_absolute() or path.is_dir() or model.startswith(".") else model


def _facts(served: Served) -> dict[str, Any]:
    try:
        with served.snapshot() as snapshot:
            counts = snapshot.counts()
            return {
                "name": served.name,
                "documents": counts.documents,
                "passages": counts.passages,
                "generation": snapshot.generation,
                "segments": len(snapshot.segments),
                "waiting": counts.waiting,
                "tombstones": counts.tombstones,
                "model": model_name(snapshot.options.model),
                "dimension": snapshot.declaration.get("dimension"),
                "fingerprint": snapshot.fingerprint,
            }
    except ClsearchError as error:
        return {"name": served.name, "problem": problem_of(error).message}
