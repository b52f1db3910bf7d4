"""What the server says of itself to Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from ...index.errors import ClsearchError
from .guard import App, Message, Receive, Scope, Send
from .indexes import Served
from .maps import key_of

if TYPE_CHECKING:
    from .backend import Backend

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})
OTHER = "other"


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "clsearch_request_seconds",
            "Time until an answer is sent, by route, method and status.",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "clsearch_stage_seconds",
            "Time of each stage of a search.",
            ("stage",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "clsearch_batch_texts",
            "Queries that were encoded together.",
            buckets=TEXTS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def answered(self, times_ms: Mapping[str, float]) -> None:
        """Count the stages of a search, as `Answer.explanation` has them."""
        for stage, ms in times_ms.items():
            self._stages.labels(stage).observe(ms / 1000)

    def encoded(self, texts: int) -> None:
        """Count texts that went through an encoder together."""
        self._batches.observe(texts)

    def requested(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        known = method if method in METHODS else OTHER
        self._requests.labels(route, known, str(status)).observe(seconds)

    def watch(self, backend: Backend) -> None:
        """Say also how much there is to do, and what the indexes hold."""
        self.registry.register(_Now(backend))

    def text(self) -> bytes:
        """Prometheus' text format. It reads the indexes: nothing for the event loop."""
        return generate_latest(self.registry)


class Measured:
    """An ASGI app that counts what another answers."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        """Around `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. One that was never answered is counted as status 499."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 499, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # The template of the route, never the path: that would be a label for each document.
            route = getattr(scope.get("route"), "path", OTHER)
            seconds = time.perf_counter() - began
            self._metrics.requested(route, scope["method"], status, seconds)


class _Now:
    """What is so at the moment: asked by the registry whenever it is read."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._held: dict[str, tuple[str, dict[str, int]]] = {}

    def collect(self) -> Iterable[Metric]:
        backend = self._backend
        queue = GaugeMetricFamily(
            "clsearch_queue", "Pieces of work that no thread has begun.", labels=("kind",)
        )
        running = GaugeMetricFamily(
            "clsearch_in_flight", "Pieces of work that are being done.", labels=("kind",)
        )
        for kind, workers in (("read", backend.workers), ("encode", backend.encodings)):
            queue.add_metric((kind,), workers.waiting)
            running.add_metric((kind,), workers.running)
        queue.add_metric(("write",), sum(writer.waiting for writer in backend.writers))
        yield queue
        yield running
        counted = {served.name: self._counted(served) for served in backend.indexes}
        for name in ("documents", "passages", "segments", "tombstones", "generation"):
            family = GaugeMetricFamily(
                f"clsearch_index_{name}", f"{name.capitalize()} of an index.", labels=("index",)
            )
            for index, counts in counted.items():
                if name in counts:
                    family.add_metric((index,), counts[name])
            yield family

    def _counted(self, served: Served) -> dict[str, int]:
        """What an index holds; empty where it cannot be read. Counted once for each commit."""
        try:
            with served.snapshot() as snapshot:
                commit = key_of(snapshot)
                key, held = self._held.get(served.name, ("", {}))
                if key != commit:
                    counts = snapshot.counts()
                    held = {
                        "documents": counts.documents,
                        "passages": counts.passages,
                        "segments": len(snapshot.segments),
                        "tombstones": counts.tombstones,
                        "generation": snapshot.generation,
                    }
                    self._held[served.name] = commit, held
                return held
        except ClsearchError:
            return {}
