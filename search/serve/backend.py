"""What the routes of one server share."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request, Response

from ..rerank import PairScorer
from .errors import log_unexpected, problem_of
from .facets import Facets
from .indexes import Indexes, Served
from .maps import Maps
from .metrics import Metrics
from .searches import WARM_UP, Found, Processes, Question, warm
from .settings import Settings
from .working import Workers
from .writing import Writers

ENCODING = 2


def load_reranker(model: str) -> PairScorer:
    """The cross-encoder of a model, as `CrossEncoder.load` gives it."""
    from ...index.encoder import CrossEncoder

    return CrossEncoder.load(model)


class Backend:
    """What the routes of one server share."""

    def __init__(
        self,
        settings: Settings,
        indexes: Indexes,
        metrics: Metrics,
        load: Callable[[str], PairScorer] = load_reranker,
        processes: Processes | None = None,
    ) -> None:
        """Threads are started and models are loaded by what first needs them.

        `processes` search where this one is at it already.
        """
        self.settings = settings
        self.indexes = indexes
        self.metrics = metrics
        # What searches is done by the cores, not by waiting: more threads would only take turns, at
        # a tenth of what is answered on two cores.
        self.workers = Workers(max(2, os.cpu_count() or 1, settings.processes))
        # Apart, because those who send thousands of texts must not keep out those who search.
        self.encodings = Workers(ENCODING)
        self.writers = Writers(indexes)
        self.maps = Maps()
        # By index, of the last commit that was asked for: its key, as of `maps.key_of`.
        self.facets: dict[str, tuple[str, Facets]] = {}
        self.ready = False
        self.problems: dict[str, str] = {}
        self._processes = processes
        self._searching = 0  # how many threads of this process do so
        self._counting = threading.Lock()
        self._load = load
        self._loading = threading.Lock()
        self._reranker: PairScorer | None = None
        metrics.watch(self)

    def reranker(self) -> PairScorer:
        """The one that the server was started with; there must be one. ModelError as of `load`."""
        with self._loading:
            if self._reranker is None:
                assert self.settings.rerank is not None
                self._reranker = self._load(self.settings.rerank)
            return self._reranker

    def answer(self, served: Served, question: Question, rerank: bool = False) -> Found:
        """What is found in an index, by this process or another; reranked by this one alone."""
        found = None
        if self._searching and self._processes is not None and not rerank:
            found = self._processes.answer(served.name, question)
        if found is None:
            found = self._found(served, question, rerank)
        self.metrics.answered(found.times_ms)
        return found

    def _found(self, served: Served, question: Question, rerank: bool) -> Found:
        with self._counting:
            self._searching += 1
        try:
            reranker = self.reranker() if rerank else None
            return served.read(lambda searcher: question.of(searcher, reranker))
        finally:
            with self._counting:
                self._searching -= 1

    def warm(self) -> None:
        """Ask each index once, so that models are loaded and segments are opened; then be ready."""
        for name, error in warm(self.indexes):
            log_unexpected(error)
            self.problems[name] = problem_of(error).message
        if self.settings.rerank is not None:
            try:
                self.reranker().scores(WARM_UP, [WARM_UP])
            except Exception as error:
                log_unexpected(error)
                self.problems["rerank"] = problem_of(error).message
        self.ready = True

    def close(self) -> None:
        """Finish what is asked for, and end all threads."""
        try:
            self.writers.close()
            self.workers.close()
            self.maps.close()
            self.encodings.close()
        finally:
            if self._processes is not None:
                self._processes.close()


def backend_of(request: Request) -> Backend:
    """That of the app which answers this request."""
    backend: Backend = request.app.state.backend
    return backend


def as_json(value: Mapping[str, Any], status: int = 200) -> Response:
    """An answer as it is: it goes through no model."""
    return Response(json.dumps(value), status, media_type="application/json")
