"""The model in the package, against sentence-transformers in float32."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.encoder import Encoder
from clsearch.index.encoder.numpy_bert import NumpyBert

Same = Callable[[np.ndarray, np.ndarray], None]
PASSAGES = [
    "Hold the button on the back for ten seconds, and the router goes back to factory settings.",
    "A red light means that the cable carries no signal.",
    "",
    "Bread rises because yeast turns sugar into carbon dioxide. " * 40,
    "Über naïve cafés — 東京, Москва, ½ cup.",
]


@pytest.mark.parametrize("by", ["native", "numpy", "torch"])
def test_as_sentence_transformers(
    by: str, assert_same: Same, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if by != "native":
        request.getfixturevalue("no_kernels")
        monkeypatch.setattr(NumpyBert, "most_tokens", -1 if by == "torch" else 10**6)
    encoder = Encoder.load(precision="float32")
    model = SentenceTransformer(
        str(EMBEDDED_MODEL), device="cpu", model_kwargs={"dtype": torch.float32}
    )
    assert_same(encoder.encode_passages(PASSAGES), model.encode_document(PASSAGES))
    assert_same(encoder.encode_queries(PASSAGES), model.encode_query(PASSAGES))


def test_what_it_declares() -> None:
    encoder = Encoder.load()
    assert encoder.name == "embedded"
    assert encoder.dimension == 384
    assert encoder.declaration["pooling"] == ["cls"]
    assert encoder.declaration["architecture"] == "bert"
    assert encoder.room == encoder.max_length - 2


def test_a_question_finds_its_answer() -> None:
    encoder = Encoder.load()
    scores = encoder.encode_queries(["how do I reset it?"]) @ encoder.encode_passages(PASSAGES).T
    assert scores.argmax() == 0
