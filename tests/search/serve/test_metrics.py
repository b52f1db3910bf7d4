"""GET /metrics, /healthz, /readyz."""

import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from clsearch.index.errors import ModelError
from clsearch.index.index import Index
from serving import serving
from words_encoder import WordsEncoder


@pytest.fixture
def path(tmp_path: Path, encoder: WordsEncoder) -> Path:
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "a", "text": "Jade is green."}, {"id": "b", "text": "Iron rusts."}])
    return tmp_path / "index"


def figures(client: TestClient) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, values of the labels in the order of their names) -> value."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_the_template_of_their_route(
    path: Path, encoder: WordsEncoder
) -> None:
    """However many documents there are, and whatever is asked for that is not there."""
    with serving(path, encoder) as client:
        for id in ("a", "b", "unknown"):
            client.get(f"/v1/documents/{id}")
        client.get("/secret/path")
        client.post("/v1/search", json={"query": " "})
        found = figures(client)
    counts = {
        labels: value
        for (name, labels), value in found.items()
        if name == "clsearch_request_seconds_count"
    }
    assert counts == {
        ("GET", "/v1/documents/{id:id}", "200"): 2,
        ("GET", "/v1/documents/{id:id}", "404"): 1,
        ("GET", "other", "404"): 1,
        ("POST", "/v1/search", "400"): 1,
    }


def test_the_stages_of_a_search_are_counted(path: Path, encoder: WordsEncoder) -> None:
    with serving(path, encoder) as client:
        for mode in ("hybrid", "lexical"):
            client.post("/v1/search", json={"query": "jade", "mode": mode})
        client.post("/v1/search", json={"queries": ["jade", "iron"]})
        found = figures(client)
    counts = {
        labels[0]: value
        for (name, labels), value in found.items()
        if name == "clsearch_stage_seconds_count"
    }
    assert counts["encode"] == counts["dense"] == 2
    assert counts["lexical"] == counts["fetch"] == counts["snippets"] == 3
    assert found["clsearch_batch_texts_sum", ()] == 3 + 1  # and one to warm up


def test_what_the_indexes_hold(path: Path, encoder: WordsEncoder) -> None:
    """As it is now: a document that is put counts at once."""
    with serving(path, encoder) as client:
        before = figures(client)
        client.put("/v1/documents/c", json={"text": "Basalt is dark."})
        client.delete("/v1/documents/a")
        after = figures(client)
    held = [
        {
            name.removeprefix("clsearch_index_"): value
            for (name, labels), value in found.items()
            if labels == ("index",)
        }
        for found in (before, after)
    ]
    first = held[0].pop("generation")
    assert held[0] == {"documents": 2, "passages": 2, "segments": 1, "tombstones": 0}
    assert held[1].pop("generation") > first
    assert (held[1]["documents"], held[1]["passages"]) == (2, 2)
    assert before["clsearch_queue", ("write",)] == before["clsearch_queue", ("read",)] == 0
    assert before["clsearch_in_flight", ("read",)] == 1  # this one


def test_it_is_ready_once_it_is_warm(path: Path, encoder: WordsEncoder) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(model: str, pooling: str | None) -> WordsEncoder:
        loading.set()
        assert go_on.wait(30)
        return encoder

    with serving(path, load=load) as client:
        assert loading.wait(30)
        assert client.get("/healthz").json() == {"ok": True}
        waiting = client.get("/readyz")
        assert (waiting.status_code, waiting.json()["ready"]) == (503, False)
        go_on.set()
        while (answer := client.get("/readyz")).status_code == 503:
            pass
    assert answer.json() == {"ready": True, "problems": {}}


def test_an_index_whose_model_is_gone_is_searched_by_words(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def load(model: str, pooling: str | None) -> Any:
        raise ModelError("/models/words is no longer there")

    with serving(path, load=load) as client:
        while client.get("/readyz").status_code == 503:
            pass
        problems = client.get("/readyz").json()["problems"]
        lexical = client.post("/v1/search", json={"query": "jade", "mode": "lexical"})
        hybrid = client.post("/v1/search", json={"query": "jade"})
    assert set(problems) == {"index"}
    assert [hit["document"] for hit in lexical.json()["hits"]] == ["a"]
    assert hybrid.status_code == 500
    assert "/models" not in hybrid.text + str(problems)


def test_an_index_that_took_the_place_of_another_is_counted(
    path: Path, encoder: WordsEncoder
) -> None:
    """With as many commits."""
    with serving(path, encoder) as client:
        assert figures(client)["clsearch_index_documents", ("index",)] == 2
        shutil.rmtree(path)
        with Index.open(path, encoder=encoder) as index:
            index.add([{"id": str(n), "text": f"stone {n}"} for n in range(5)])
        assert figures(client)["clsearch_index_documents", ("index",)] == 5


def test_a_model_that_comes_back_is_used(path: Path) -> None:
    """By the next query that wants vectors; loaded once, as if it had been there."""
    loads = []

    def load(model: str, pooling: str | None) -> WordsEncoder:
        loads.append(model)
        if gone.is_set():
            raise ModelError("the hub does not answer")
        return WordsEncoder()

    gone = threading.Event()
    gone.set()
    with serving(path, load=load) as client:
        while client.get("/readyz").status_code == 503:
            pass
        assert client.post("/v1/search", json={"query": "jade"}).status_code == 500
        gone.clear()
        loads.clear()
        for _ in range(3):
            hybrid = client.post("/v1/search", json={"query": "jade"})
            assert hybrid.status_code == 200, hybrid.text
        assert client.post("/v1/embeddings", json={"input": "jade"}).status_code == 200
        figures = client.get("/metrics").text
    assert hybrid.json()["hits"][0]["document"] == "a"
    assert loads == ["words"]
    assert "clsearch_batch_texts_sum 3.0" in figures


@pytest.mark.parametrize("broken", ["encoder", "reranker"])
def test_an_error_that_nobody_expected_while_warming(
    path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """The server is ready, says what is wrong, logs it, and ends as it should."""
    put = {"text": "Basalt is dark."}

    class Broken(WordsEncoder):
        def warm(self) -> None:
            if broken == "encoder":
                raise RuntimeError("the engine does not compile /models/words")

    class Scorer:
        def scores(self, query: str, texts: Sequence[str]) -> Any:
            raise RuntimeError("the engine does not compile /models/words")

    rerank = "scorer" if broken == "reranker" else None
    with serving(path, Broken(), scorer=Scorer(), rerank=rerank) as client:
        until = time.monotonic() + 20
        while (answer := client.get("/readyz")).status_code == 503:
            assert time.monotonic() < until, answer.text
        assert client.put("/v1/documents/c", json=put).status_code == 201
    assert list(answer.json()["problems"]) == ["index" if broken == "encoder" else "rerank"]
    assert "/models" not in answer.text
    assert "does not compile" in caplog.text
