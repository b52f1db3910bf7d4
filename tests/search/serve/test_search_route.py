"""POST /v1/search and /v1/similar answer what the Searcher finds, in the words of the CLI."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from clsearch.cli import cli
from clsearch.index.encoder import Encoder
from clsearch.index.index import Index
from clsearch.search import Searcher
from clsearch.search.serve.retrieval import SearchAnswer, SearchAnswers, SimilarAnswer
from clsearch.search.serve.shapes import Hit
from serving import serving
from words_encoder import WordsEncoder

ASKED: list[dict[str, Any]] = [
    {},
    {"k": 3},
    {"mode": "dense"},
    {"mode": "lexical"},
    {"where": "path like 'stone/1%'"},
    {"group": "document", "k": 4},
    {"min_score": 0.5},
    {"min_score": 1},
]


@pytest.mark.parametrize("options", ASKED, ids=json.dumps)
def test_an_answer_is_what_the_searcher_finds(
    ten: Searcher, encoder: WordsEncoder, options: dict[str, Any]
) -> None:
    expected = [hit.to_json() for hit in ten.search("jade amber", **options)]
    with serving(ten.path, encoder) as client:
        answer = client.post("/v1/search", json={"query": "jade amber", **options}).json()
    took = answer.pop("took_ms")
    assert 0 < took < 60_000
    assert answer == {
        "query": "jade amber",
        "mode": options.get("mode", "hybrid"),
        "index": "index",
        "hits": expected,
    }


def test_an_answer_is_that_of_the_command_line(tmp_path: Path) -> None:
    """With the embedded model, from the question to the JSON."""
    path = tmp_path / "notes.clsearch"
    with Index.open(path) as index:
        index.add({"id": str(n), "text": text} for n, text in enumerate(("Jade.", "Iron rusts.")))
    argv = ["search", "green stone", "--json", "--index", str(path)]
    said = json.loads(CliRunner().invoke(cli, argv, catch_exceptions=False).stdout)
    with serving(path, Encoder.load()) as client:
        answer = client.post("/v1/search", json={"query": "green stone"}).json()
    assert answer.pop("index") == "notes"
    assert set(answer) == set(said)
    assert {**answer, "took_ms": 0} == {**said, "took_ms": 0}


def test_queries_are_answered_together(ten: Searcher, encoder: WordsEncoder) -> None:
    texts = ["jade", "iron flint", "-jade amber"]
    with serving(ten.path, encoder) as client:
        found = client.post("/v1/search", json={"queries": texts, "k": 2}).json()
    expected = [[hit.to_json() for hit in hits] for hits in ten.search_many(texts, 2)]
    assert set(found) == {"index", "took_ms", "answers"}
    assert [answer["query"] for answer in found["answers"]] == texts
    assert [answer["hits"] for answer in found["answers"]] == expected
    SearchAnswers.model_validate(found)


def test_what_is_answered_is_what_is_described(ten: Searcher, encoder: WordsEncoder) -> None:
    """No key that /openapi.json does not know, none missing."""
    with serving(ten.path, encoder) as client:
        answer = client.post("/v1/search", json={"query": "jade amber", "group": "document"}).json()
        like = client.post("/v1/similar", json={"document": "stone/3.txt"}).json()
    SearchAnswer.model_validate(answer)
    SimilarAnswer.model_validate(like)
    assert any("more" in hit for hit in answer["hits"])
    for hit in (*answer["hits"], *like["hits"]):
        assert set(hit) | {"more"} == set(Hit.model_fields)


def test_similar_documents(ten: Searcher, encoder: WordsEncoder) -> None:
    expected = [hit.to_json() for hit in ten.similar("stone/3.txt", 4, where="path != 'x'")]
    asked = {"document": "stone/3.txt", "k": 4, "where": "path != 'x'"}
    with serving(ten.path, encoder) as client:
        assert client.post("/v1/similar", json=asked).json()["hits"] == expected


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "usage"),
    ({"query": "a", "queries": ["b"]}, 400, "usage"),
    ({"queries": []}, 400, "usage"),
    ({"queries": ["a"] * 257}, 400, "usage"),
    ({"query": " "}, 400, "usage"),
    ({"query": "a" * 8193}, 400, "usage"),
    ({"query": "a", "k": 0}, 422, "invalid"),
    ({"query": "a", "k": 1001}, 400, "usage"),
    ({"query": "a", "k": "3"}, 422, "invalid"),
    ({"query": "a", "k": 3.5}, 422, "invalid"),
    ({"query": "a", "k": True}, 422, "invalid"),
    ({"query": 7}, 422, "invalid"),
    ({"query": "a", "mode": "fast"}, 422, "invalid"),
    ({"query": "a", "min_score": 1.1}, 422, "invalid"),
    ({"query": "a", "where": "lang ="}, 400, "usage"),
    ({"query": "a", "index": "other"}, 404, "index_unknown"),
    ({"query": "a", "index": "../index"}, 404, "index_unknown"),
    ({"query": "a", "rerank": True}, 400, "usage"),
    ({"query": "a", "rerank": "some/model"}, 422, "invalid"),
    ({"query": "a", "model": "some/model"}, 422, "invalid"),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "index"
    with Index.open(path, encoder=WordsEncoder()) as index:
        index.add([{"id": "a/b.txt", "text": "Jade is green."}])
    return path


@pytest.mark.parametrize(("body", "status", "code"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_be_right_is_refused(
    small: Path, encoder: WordsEncoder, body: dict[str, Any], status: int, code: str
) -> None:
    with serving(small, encoder) as client:
        answer = client.post("/v1/search", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_whole_number_may_have_a_point(small: Path, encoder: WordsEncoder) -> None:
    """JSON Schema's integers are so; JavaScript and Lua send them both ways."""
    with serving(small, encoder) as client:
        for body in (b'{"query": "a", "k": 1.0}', b'{"query": "a", "k": 1e0}'):
            headers = {"content-type": "application/json"}
            assert client.post("/v1/search", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"query": NaN}', b"[" * 100_000, b'{"k": 1%s}' % (b"0" * 5000)],
)
def test_what_is_no_json_is_refused(small: Path, encoder: WordsEncoder, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    with serving(small, encoder) as client:
        answer = client.post("/v1/search", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_an_unknown_document_is_not_found(small: Path, encoder: WordsEncoder) -> None:
    with serving(small, encoder) as client:
        answer = client.post("/v1/similar", json={"document": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "document_missing")


def test_one_of_several_indexes_is_named(
    make_index: Callable[[dict[str, str]], Path], tmp_path: Path, encoder: WordsEncoder
) -> None:
    """By its folder, or the folder that holds it; one encoder is loaded for all."""
    paths = [tmp_path / "notes.clsearch", tmp_path / "mail" / ".clsearch", tmp_path / "x" / "mail"]
    for number, path in enumerate(paths):
        with Index.open(path, encoder=encoder) as index:
            index.add([{"id": f"{number}", "text": "Jade is green."}])
    loaded = []

    def load(model: str, pooling: str | None) -> WordsEncoder:
        loaded.append(model)
        return encoder

    with serving(paths, load=load) as client:
        listed = client.get("/v1/indexes").json()["indexes"]
        for number, name in enumerate(("notes", "mail", "mail-2")):
            answer = client.post("/v1/search", json={"query": "jade", "index": name}).json()
            assert [hit["document"] for hit in answer["hits"]] == [f"{number}"]
            assert answer["index"] == name
        unnamed = client.post("/v1/search", json={"query": "jade"})
    assert loaded == ["words"]
    assert [(one["name"], one["documents"], one["passages"]) for one in listed] == [
        ("notes", 1, 1),
        ("mail", 1, 1),
        ("mail-2", 1, 1),
    ]
    assert str(tmp_path) not in json.dumps(listed)
    assert unnamed.status_code == 400
    assert "'notes', 'mail', 'mail-2'" in unnamed.json()["error"]["message"]


def test_the_description_of_the_api(small: Path, encoder: WordsEncoder) -> None:
    """Every route, each with what it may answer, in the shape that all errors have."""
    with serving(small, encoder) as client:
        described = client.get("/openapi.json").json()
        assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
    paths = described["paths"]
    assert set(paths["/v1/documents/{id}"]) == {"put", "get", "delete"}
    assert {"/v1/search", "/v1/similar", "/v1/embeddings", "/v1/rerank", "/v1/documents"} <= set(
        paths
    )
    assert "HTTPValidationError" not in described["components"]["schemas"]
    for path, operations in paths.items():
        if not path.startswith("/v1/"):
            continue
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            assert {"200", "400", "401", "403", "421", "500", "503", "504"} <= statuses, path
            if method in ("put", "post"):
                assert {"408", "413", "415", "422"} <= statuses, path
            if path != "/v1/indexes":
                assert "404" in statuses, path
