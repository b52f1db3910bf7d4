"""Documents over HTTP: what is answered is committed, and what is committed is found."""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.errors import IndexLocked, ModelError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Document
from clsearch.search import Searcher
from clsearch.search.serve.indexes import Indexes
from clsearch.search.serve.writing import Writer
from serving import lines, serving
from words_encoder import WordsEncoder


class Waiting(WordsEncoder):
    """An encoder that takes its time with documents that say "slow", until it is told to go on.

    What says "poison" has no vector.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any("slow" in text for text in texts):
            self.reached.set()
            assert self.go_on.wait(30)
        if any("poison" in text for text in texts):
            raise ModelError("the model gives no direction")
        return super().encode_passages(texts)


@pytest.fixture
def encoder() -> Waiting:
    return Waiting()


@pytest.fixture
def path(tmp_path: Path, encoder: Waiting) -> Path:
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "iron", "text": "Iron rusts."}])
    return tmp_path / "index"


IDS = ["jade", "notes/a.md", "a b/ä漢?#%.txt", "../up", "/root", "x//y/", "a\nb", "\n"]


def test_a_line_feed_makes_another_id(path: Path, encoder: Waiting) -> None:
    with serving(path, encoder) as client:
        other = "/v1/documents/iron%0A"
        assert client.delete(other).status_code == 404
        assert client.put(other, json={"text": "Another."}).status_code == 201
        assert client.get("/v1/documents/iron").json()["text"] == "Iron rusts."
        assert client.get(other).json()["document"] == "iron\n"


@pytest.mark.parametrize("id", IDS)
def test_a_document_is_put_found_read_and_taken_out(path: Path, encoder: Waiting, id: str) -> None:
    at = f"/v1/documents/{quote(id, safe='')}"
    body = {"title": "Stones", "text": "Jade is green.", "metadata": {"lang": "en", "n": [1.5]}}
    said = {"document": id, "index": "index"}
    with serving(path, encoder) as client:
        assert client.get(at).status_code == 404
        put = client.put(at, json=body)
        assert (put.status_code, put.json()) == (
            201,
            {**said, "result": "created", "encoded": 1, "reused": 0},
        )
        [hit] = client.post("/v1/search", json={"query": "jade", "k": 1}).json()["hits"]
        assert (hit["document"], hit["metadata"]) == (id, body["metadata"])
        assert client.get(at).json() == {**said, **body}
        removed = client.delete(at)
        assert (removed.status_code, removed.json()) == (200, {**said, "result": "removed"})
        assert client.get(at).status_code == 404
        again = client.delete(at)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "document_missing")
    with Snapshot.open(path) as snapshot:
        assert snapshot.document_ids() == ["iron"]


def test_what_was_encoded_is_said(path: Path, encoder: Waiting) -> None:
    """A passage whose text is known keeps its vector."""
    long = "\n\n".join(f"# Part {n}\n\n" + f"stone {n} " * 30 for n in range(3))
    with serving(path, encoder) as client:
        results = []
        for text in (long, long, f"{long}\n\nAnd jade."):
            answer = client.put("/v1/documents/long", json={"text": text}).json()
            results.append((answer["result"], answer["encoded"], answer["reused"]))
    with Snapshot.open(path) as snapshot:
        now = len(snapshot.passage_ids("long"))
    (created, first, none), unchanged, (updated, encoded, reused) = results
    assert (created, none) == ("created", 0)
    assert first >= 3
    assert unchanged == ("unchanged", 0, 0)
    assert updated == "updated"
    assert encoded + reused == now
    assert 0 < encoded < now


def test_lines_are_answered_each(path: Path, encoder: Waiting) -> None:
    body = lines(
        json.dumps({"id": "a", "text": "Jade is green."}),
        "",
        "no json",
        json.dumps({"id": 7, "text": "Jade is green."}),
        json.dumps({"id": "iron", "text": "Iron rusts."}),
        json.dumps({"id": "b", "text": "x", "colour": "red"}),
        json.dumps({"id": "a", "text": "Jade is green, and hard.", "metadata": {"n": 1}}),
        json.dumps({"id": "c", "text": "x", "metadata": {"n": float("inf")}}),
        '{"id": "d", "text": "x", "metadata": {"n": ' + "[" * 900 + "]" * 900 + "}}",
    )
    with serving(path, encoder) as client:
        answer = client.post("/v1/documents?index=index", **body)
        told = {one["line"]: one for one in map(json.loads, answer.text.splitlines())}
        assert client.get("/v1/documents/a").json()["metadata"] == {"n": 1}
    assert answer.status_code == 200
    assert list(told) == [1, 3, 4, 5, 6, 7, 8, 9]
    assert told[1] == {
        "line": 1,
        "document": "a",
        "index": "index",
        "result": "created",
        "encoded": 1,
        "reused": 0,
    }
    assert (told[5]["result"], told[7]["result"]) == ("unchanged", "updated")
    for number in (3, 4, 6, 8, 9):
        assert set(told[number]) == {"line", "error"}, told[number]
    assert "colour" in told[6]["error"]["message"]


def test_many_lines_are_committed_in_slices(
    path: Path, encoder: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, all of them."""
    from clsearch.search.serve import documents

    monkeypatch.setattr(documents, "SLICE_DOCUMENTS", 10)
    sent = [json.dumps({"id": str(n), "text": f"stone {n}"}) for n in range(35)]
    with serving(path, encoder) as client:
        answer = client.post("/v1/documents", **lines(*sent))
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [(one["line"], one["document"]) for one in told] == [(n + 1, str(n)) for n in range(35)]
    with Snapshot.open(path) as snapshot:
        assert snapshot.generation >= 4
        assert snapshot.counts().documents == 36


def test_lines_are_read_where_the_server_does_not_wait_for_it(
    path: Path, encoder: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event loop answers all others meanwhile."""
    from clsearch.search.serve import documents

    threads = []
    read = documents._read

    def watched(number: int, text: bytes) -> Any:
        threads.append(threading.current_thread().name)
        return read(number, text)

    monkeypatch.setattr(documents, "_read", watched)
    monkeypatch.setattr(documents, "SLICE_DOCUMENTS", 1)
    with serving(path, encoder) as client:
        client.post("/v1/documents", **lines('{"id": "a", "text": "x"}', "no json"))
    assert len(threads) == 2
    assert all(name.startswith("clsearch") for name in threads)


def test_lines_that_are_no_documents_are_answered_without_a_write(
    path: Path, encoder: Waiting
) -> None:
    with serving(path, encoder) as client, Index.open(path, encoder=encoder):
        answer = client.post("/v1/documents", **lines("no json", "[]"))
    assert answer.status_code == 200
    assert [json.loads(line)["line"] for line in answer.text.splitlines()] == [1, 2]


def test_a_body_without_lines_is_refused(path: Path, encoder: Waiting) -> None:
    with serving(path, encoder) as client:
        answer = client.post("/v1/documents", **lines("", " "))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "usage")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"text": 7}, 422),
        ({"text": "x", "metadata": []}, 422),
        ({"text": "x", "id": "other"}, 422),
        ({"text": "x", "metadata": {"n": float("nan")}}, 400),
    ],
)
def test_what_is_no_document_is_refused(
    path: Path, encoder: Waiting, body: dict[str, Any], status: int
) -> None:
    headers = {"content-type": "application/json"}
    with serving(path, encoder) as client:
        answer = client.put("/v1/documents/x", content=json.dumps(body), headers=headers)
    assert answer.status_code == status


def test_another_writer_is_waited_for_by_the_client(path: Path, encoder: Waiting) -> None:
    """503 says when to try again; searches go on meanwhile."""
    body = {"text": "Jade is green."}
    with serving(path, encoder) as client:
        with Index.open(path, encoder=encoder):
            refused = client.put("/v1/documents/jade", json=body)
            bulk = client.post("/v1/documents", **lines('{"id": "a", "text": "x"}'))
            assert client.post("/v1/search", json={"query": "iron"}).status_code == 200
        assert client.put("/v1/documents/jade", json=body).status_code == 201
    for answer in (refused, bulk):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_locked")
        assert int(answer.headers["retry-after"]) > 0


def test_the_index_is_free_for_others_once_nothing_waits(path: Path, encoder: Waiting) -> None:
    with serving(path, encoder) as client:
        client.put("/v1/documents/jade", json={"text": "Jade is green."})
        until = time.monotonic() + 10
        while True:
            try:
                with Index.open(path, encoder=encoder) as index:
                    index.add([{"id": "b", "text": "Basalt."}])
                break
            except IndexLocked:
                assert time.monotonic() < until, "the server holds the lock for ever"
        hits = client.post("/v1/search", json={"query": "basalt", "k": 1}).json()["hits"]
    assert hits[0]["document"] == "b"


def test_searches_do_not_wait_for_a_write(path: Path, encoder: Waiting) -> None:
    with serving(path, encoder) as client:
        putting = threading.Thread(
            target=client.put, args=("/v1/documents/slow",), kwargs={"json": {"text": "slow"}}
        )
        putting.start()
        assert encoder.reached.wait(30)
        hits = client.post("/v1/search", json={"query": "iron"}).json()["hits"]
        assert [hit["document"] for hit in hits] == ["iron"]
        encoder.go_on.set()
        putting.join()
        hits = client.post("/v1/search", json={"query": "slow", "k": 1}).json()["hits"]
    assert [hit["document"] for hit in hits] == ["slow"]


@pytest.fixture
def writer(path: Path, encoder: Waiting) -> Writer:
    return Writer(Indexes([path], lambda model, pooling: encoder).get())


def generation(path: Path) -> int:
    with Snapshot.open(path) as snapshot:
        return snapshot.generation


def test_what_waits_is_committed_together_in_its_order(
    path: Path, encoder: Waiting, writer: Writer
) -> None:
    slow = writer.put([Document("slow", "", "slow")])
    assert encoder.reached.wait(30)
    before = generation(path)
    puts = [writer.put([Document(str(n), "", f"stone {n}")]) for n in range(20)]
    removed = writer.remove("3")
    unknown = writer.remove("unknown")
    again = writer.put([Document("3", "", "stone 3, once more")])
    assert writer.waiting == 23
    encoder.go_on.set()
    writer.close()
    assert [put.result for put in slow.result()] == ["created"]
    assert [put.document for done in puts for put in done.result()] == [str(n) for n in range(20)]
    assert removed.result() is None
    assert "unknown" in str(unknown.exception())
    assert [put.result for put in again.result()] == ["created"]
    # That of "slow", the twenty, the removal, and the last.
    assert generation(path) - before == 4
    assert Searcher.open(path, encoder).document("3").text == "stone 3, once more"


def test_what_nobody_waits_for_is_not_written(path: Path, encoder: Waiting, writer: Writer) -> None:
    writer.put([Document("slow", "", "slow")])
    assert encoder.reached.wait(30)
    dropped: Future[Any] = writer.put([Document("dropped", "", "dropped")])
    kept = writer.put([Document("kept", "", "kept")])
    assert dropped.cancel()
    encoder.go_on.set()
    writer.close()
    assert kept.result()
    with Snapshot.open(path) as snapshot:
        assert snapshot.document_ids() == ["iron", "kept", "slow"]


def test_a_document_without_a_vector_fails_alone(
    path: Path, encoder: Waiting, writer: Writer
) -> None:
    """What waits with it is written."""
    slow = writer.put([Document("slow", "", "slow")])
    assert encoder.reached.wait(30)
    before = writer.put([Document("a", "", "jade")])
    poison = writer.put([Document("b", "", "basalt"), Document("c", "", "poison")])
    after = writer.put([Document("d", "", "amber")])
    encoder.go_on.set()
    writer.close()
    for done, id in ((slow, "slow"), (before, "a"), (after, "d")):
        assert [(put.document, put.result) for put in done.result()] == [(id, "created")]
    assert isinstance(poison.exception(), ModelError)
    with Snapshot.open(path) as snapshot:
        assert {"slow", "a", "d"} <= set(snapshot.document_ids())
        assert snapshot.document("c") is None


def test_a_write_that_fails_says_so_to_each_and_the_next_is_tried(
    path: Path, encoder: Waiting, writer: Writer
) -> None:
    with Index.open(path, encoder=encoder):
        refused = [writer.put([Document(str(n), "", "x")]) for n in range(3)]
        errors = [type(done.exception(30)).__name__ for done in refused]
    assert errors == ["IndexLocked"] * 3
    assert [put.result for put in writer.put([Document("a", "", "x")]).result(30)] == ["created"]
    writer.close()
