"""The server follows its indexes: what another program commits, it finds."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from clsearch.index.index import Index
from serving import serving
from words_encoder import WordsEncoder


@pytest.fixture
def path(tmp_path: Path, encoder: WordsEncoder) -> Path:
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "a", "text": "Jade is green."}, {"id": "b", "text": "Iron rusts."}])
    return tmp_path / "index"


def found(client: TestClient, query: str) -> list[str]:
    answer = client.post("/v1/search", json={"query": query, "k": 1})
    assert answer.status_code == 200, answer.text
    return [hit["document"] for hit in answer.json()["hits"]]


def test_a_new_generation_is_picked_up(path: Path, encoder: WordsEncoder) -> None:
    """Documents that came and went, and segments that were merged."""
    with serving(path, encoder) as client:
        assert found(client, "jade") == ["a"]
        with Index.open(path, encoder=encoder) as index:
            index.add([{"id": "c", "text": "Basalt is dark."}])
            index.remove(["a"])
        assert found(client, "basalt") == ["c"]
        assert found(client, "jade") != ["a"]
        with Index.open(path, encoder=encoder) as index:
            index.optimize()
        assert found(client, "iron") == ["b"]
        [listed] = client.get("/v1/indexes").json()["indexes"]
    assert (listed["documents"], listed["segments"]) == (2, 1)


def test_another_model_is_picked_up(path: Path, encoder: WordsEncoder) -> None:
    """By searches, by embeddings, and by what writes."""
    other = WordsEncoder(dimension=16, seed="other")
    other.name = "other"
    models = {"words": encoder, "other": other}
    with serving(path, load=lambda model, pooling: models[model]) as client:
        assert found(client, "jade") == ["a"]
        with Index.open(path, encoder=encoder) as index:
            index.reencode(encoder=other)
        assert found(client, "jade") == ["a"]
        [listed] = client.get("/v1/indexes").json()["indexes"]
        assert (listed["model"], listed["dimension"]) == ("other", 16)
        answer = client.post("/v1/embeddings", json={"input": "jade"}).json()
        assert (answer["model"], len(answer["data"][0]["embedding"])) == ("other", 16)
        put: Any = client.put("/v1/documents/c", json={"text": "Basalt is dark."})
        assert put.status_code == 201
        assert found(client, "basalt") == ["c"]
    assert other.encoded
