"""POST /v1/embeddings, asked by OpenAI's own client."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import openai
import pytest

from clsearch.index.encoder import Encoder
from clsearch.index.index import Index
from clsearch.search.serve.app import create_app
from clsearch.search.serve.settings import Settings
from serving import URL, serving
from words_encoder import WordsEncoder

TEXTS = ["Jade is green.", "", "How do I reset the router?", "Ä́ 漢字"]

T = TypeVar("T")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Any:
    path = tmp_path_factory.mktemp("embeddings") / "notes.clsearch"
    with Index.open(path, encoder=encoder) as index:
        index.add([{"id": "a", "text": "Jade."}])
    return create_app([path], Settings(), lambda model, pooling: encoder)


@pytest.fixture
def asked(app: Any) -> Callable[[Callable[[openai.AsyncOpenAI], Awaitable[Any]]], Any]:
    """What a call of OpenAI's client returns."""

    async def with_client(call: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
        transport = httpx.ASGITransport(app)
        async with openai.AsyncOpenAI(
            base_url=f"{URL}/v1",
            api_key="none is asked for",
            max_retries=0,
            http_client=httpx.AsyncClient(transport=transport),
        ) as client:
            return await call(client)

    return lambda call: asyncio.run(with_client(call))


@pytest.mark.parametrize("format", ["float", "base64", None])
def test_vectors_are_the_encoders(asked: Any, encoder: Encoder, format: Any) -> None:
    """In either format, in the order of the texts; base64 is what the client asks for itself."""
    more = {} if format is None else {"encoding_format": format}
    answer = asked(lambda c: c.embeddings.create(model="embedded", input=TEXTS, **more))
    assert [one.index for one in answer.data] == [0, 1, 2, 3]
    assert answer.model == "embedded"
    vectors = [one.embedding for one in answer.data]
    if format == "base64":
        vectors = [np.frombuffer(base64.b64decode(one), "<f4") for one in vectors]
    np.testing.assert_allclose(vectors, encoder.encode_passages(TEXTS), atol=1e-6)


def test_many_texts_keep_their_order(asked: Any, encoder: Encoder) -> None:
    texts = [f"stone number {n}" for n in range(130)]
    answer = asked(lambda c: c.embeddings.create(model="embedded", input=texts))
    assert [one.index for one in answer.data] == list(range(130))
    vectors = np.array([one.embedding for one in answer.data])
    np.testing.assert_allclose(vectors, encoder.encode_passages(texts), atol=1e-5)


def test_one_text(asked: Any, encoder: Encoder) -> None:
    answer = asked(lambda c: c.embeddings.create(model="embedded", input="Jade is green."))
    [one] = answer.data
    [vector] = encoder.encode_passages(["Jade is green."])
    np.testing.assert_allclose(one.embedding, vector, atol=1e-6)


def test_tokens_are_counted_by_the_tokenizer(asked: Any, encoder: Encoder) -> None:
    answer = asked(lambda c: c.embeddings.create(model="embedded", input=TEXTS))
    expected = sum(map(len, encoder.token_spans(TEXTS)))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == expected
    assert expected > len(TEXTS)


def test_fewer_dimensions_are_the_first_of_unit_length(asked: Any, encoder: Encoder) -> None:
    answer = asked(lambda c: c.embeddings.create(model="embedded", input=TEXTS, dimensions=64))
    cut = encoder.encode_passages(TEXTS)[:, :64]
    expected = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    np.testing.assert_allclose([one.embedding for one in answer.data], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"input": [1, 2, 3]}, openai.BadRequestError, "tokens"),
        ({"input": [[1, 2], [3]]}, openai.BadRequestError, "tokens"),
        ({"input": []}, openai.BadRequestError, "0 texts"),
        ({"input": ["a"] * 2049}, openai.BadRequestError, "2049 texts"),
        ({"input": "a", "dimensions": 385}, openai.BadRequestError, "384"),
        ({"input": "a", "dimensions": 0}, openai.UnprocessableEntityError, "dimensions"),
        ({"input": "a", "model": "text-embedding-3-small"}, openai.NotFoundError, "'embedded'"),
        ({"input": "a", "model": "/etc"}, openai.NotFoundError, "404"),
        ({"input": "a", "extra_body": {"x": 1}}, openai.UnprocessableEntityError, "x"),
    ],
    ids=str,
)
def test_what_cannot_be_right_is_refused(
    asked: Any, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        asked(lambda c: c.embeddings.create(**{"model": "embedded", **options}))


class Prompted(WordsEncoder):
    """An encoder with a prompt for queries."""

    def encode_queries(self, texts: Any) -> Any:
        return super().encode_queries([f"query {text}" for text in texts])

    def encode_passages(self, texts: Any) -> Any:
        return super().encode_queries(texts)


def test_the_prompt_is_that_of_documents_unless_queries_are_named(tmp_path: Path) -> None:
    encoder = Prompted()
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "a", "text": "Jade."}])
    with serving(tmp_path / "index", encoder) as client:
        for kind, encode in (
            (None, encoder.encode_passages),
            ("document", encoder.encode_passages),
            ("query", encoder.encode_queries),
        ):
            body = {"input": "jade", **({"input_type": kind} if kind else {})}
            [one] = client.post("/v1/embeddings", json=body).json()["data"]
            np.testing.assert_allclose(one["embedding"], encode(["jade"])[0], atol=1e-6)


def test_texts_to_embed_do_not_stand_in_the_line_of_the_searches(tmp_path: Path) -> None:
    encoder = WordsEncoder()
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([{"id": "a", "text": "Jade."}])
    with serving(tmp_path / "index", encoder) as client:
        while client.get("/readyz").status_code == 503:
            pass
        for kind in ("query", "document"):
            body = {"input": ["jade"] * 100, "input_type": kind}
            assert len(client.post("/v1/embeddings", json=body).json()["data"]) == 100
        figures = client.get("/metrics").text
    assert "clsearch_batch_texts_sum 1.0" in figures  # the query that warms up


class Silent(WordsEncoder):
    """An encoder whose first numbers are all 0."""

    def encode_passages(self, texts: Any) -> Any:
        vectors = super().encode_passages(texts)
        vectors[:, :4] = 0
        return vectors


def test_numbers_that_are_all_0_stay_so_when_a_vector_is_cut(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", encoder=WordsEncoder()) as index:
        index.add([{"id": "a", "text": "Jade."}])
    with serving(tmp_path / "index", Silent()) as client:
        [one] = client.post("/v1/embeddings", json={"input": "a", "dimensions": 4}).json()["data"]
    assert one["embedding"] == [0, 0, 0, 0]


def test_a_model_is_named_where_there_are_two(tmp_path: Path) -> None:
    """By the folder's name alone, where it is one; no path goes out."""
    encoders = {}
    for number, name in enumerate(("/home/ada/models/tiny", "org/large")):
        encoders[name] = WordsEncoder(dimension=8 + number)
        encoders[name].name = name
        with Index.open(tmp_path / f"{number}", encoder=encoders[name]) as index:
            index.add([{"id": "a", "text": "Jade."}])
    paths = [tmp_path / "0", tmp_path / "1"]
    with serving(paths, load=lambda model, pooling: encoders[model]) as client:
        unnamed = client.post("/v1/embeddings", json={"input": "jade"})
        assert unnamed.status_code == 400
        assert "'tiny', 'org/large'" in unnamed.json()["error"]["message"]
        for name, dimension in (("tiny", 8), ("org/large", 9)):
            body = {"input": "jade", "model": name}
            answer = client.post("/v1/embeddings", json=body).json()
            assert (answer["model"], len(answer["data"][0]["embedding"])) == (name, dimension)
