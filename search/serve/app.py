"""The app of `clsearch serve`: indexes and settings in, an ASGI app out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response

from ... import __version__
from ...index.errors import UsageError
from ..rerank import PairScorer
from . import documents, explore, health, openai, page, reranking, retrieval
from .backend import Backend, load_reranker
from .guard import App, Guard
from .handlers import add_handlers
from .indexes import Indexes, Load, load_encoder
from .metrics import Measured, Metrics
from .searches import Processes
from .settings import Settings
from .working import Gone

DESCRIPTION = """\
Passages that answer, of documents that stay on this machine. Every answer that is no success is
`{"error": {"message", "type", "code"}}`."""


def create_app(
    paths: Sequence[Path],
    settings: Settings,
    load: Load = load_encoder,
    load_reranker: Callable[[str], PairScorer] = load_reranker,
) -> App:
    """The app that serves the indexes in these folders; errors as of `Searcher.open`.

    `load` is for indexes that were made with an encoder of your own, in this process alone.
    """
    if settings.processes > 1 and load is not load_encoder:
        raise UsageError(
            f"{settings.processes} processes cannot share an encoder of your own: leave"
            " `processes` at 1"
        )
    metrics = Metrics()
    indexes = Indexes(paths, load, metrics.encoded)
    processes = None
    if settings.processes > 1:
        # The folders as they are now: a link may lead elsewhere when a process is started.
        resolved = [served.path for served in indexes]
        processes = Processes(resolved, settings.processes - 1, metrics.encoded)
    backend = Backend(settings, indexes, metrics, load_reranker, processes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(asyncio.to_thread(backend.warm))
        try:
            yield
        finally:
            try:
                await warming
            finally:
                await asyncio.to_thread(backend.close)

    app = FastAPI(
        title="clsearch",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.backend = backend
    routers = [
        part.router for part in (retrieval, openai, reranking, documents, explore, health, page)
    ]
    for router in routers:
        app.include_router(router)
    add_handlers(app, [route for router in routers for route in router.routes])
    app.add_exception_handler(Gone, _nobody_reads)
    return Measured(Guard(app, settings), metrics)


async def _nobody_reads(_: Request, __: Exception) -> Response:
    return Response(status_code=499)
